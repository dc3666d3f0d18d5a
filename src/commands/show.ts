/** `seedsmith show NODE`: what the machine will do, in order, as a person would read it. */
import { type Position, shortPosition } from "../core/position.ts";
import type { Problem } from "../core/problem.ts";
import { type Filled, redacted } from "../core/text.ts";
import { readable } from "../emit/plan-json.ts";
import type { Action, NodePlan, Probe } from "../plan/model.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { diskLines, installTitle } from "./install-summary.ts";

export async function show(
  choice: Choice,
): Promise<{ compiled: Compiled; problems: readonly Problem[]; text: string; plans: unknown[] }> {
  const compiled = await compile(choice);
  const plans =
    compiled.plan === null ? [] : compiled.chosen.map((node) => compiled.plan?.plan(node) as NodePlan);
  const plain = JSON.parse(JSON.stringify(plans, readable)) as unknown[];
  return { compiled, problems: compiled.problems.list, text: plans.map(planText).join("\n"), plans: plain };
}

/** A plan as text; every item ends with the line that asked for it. */
export function planText(plan: NodePlan): string {
  const out: string[] = [];
  const line = (text: string, from: Position | null, indent = 1): void => {
    out.push(`${"  ".repeat(indent)}${from === null ? text : `${text}  [${shortPosition(from)}]`}`);
  };
  const title = (text: string): void => void out.push("", text);
  out.push(`${plan.node} (${plan.profile}) becomes, on ${plan.target.name}:`);
  title("Network");
  for (const nic of plan.interfaces) {
    const ip = plan.devices.find(
      ({ networks, ip: one }) => one !== null && networks.includes(nic.network),
    )?.ip;
    const ways = [
      ...nic.addresses,
      ...(ip?.dhcp4 === true ? ["DHCP"] : []),
      ...(ip?.dhcp6 === true ? ["DHCPv6"] : ip?.acceptRa === true ? ["router advertisements"] : []),
    ];
    const where =
      ways.length === 0
        ? "up, without an address"
        : `${ways.join(", ")}${nic.gateway === null ? "" : `, default route by ${nic.gateway}`}`;
    line(
      `${nic.network}: ${where}${nic.mac === null ? "" : `, card ${nic.mac}`}${nic.vlan === null ? "" : `, tag ${nic.vlan}`}${nic.name === null ? "" : `, named ${nic.name}`}`,
      nic.from,
    );
  }
  for (const device of plan.devices) {
    const mtu = device.mtu === null ? "" : `, MTU ${device.mtu}`;
    if (device.kind === "bond") {
      const cards = device.members.map((id) => {
        const card = plan.devices.find((one) => one.id === id);
        return card?.kind === "card" && card.mac !== null ? `${id} (${card.mac})` : id;
      });
      line(`${device.id}: ${device.mode} bond of ${cards.join(", ")}${mtu}`, device.from);
    } else if (device.kind === "vlan")
      line(`${device.id}: VLAN ${device.tag} on ${device.link}${mtu}`, device.from);
    else if (device.kind === "bridge") line(`${device.id}: bridge on ${device.port}${mtu}`, device.from);
  }
  title("Users");
  if (plan.users.length === 0) line("none: nobody will be able to log in", null);
  for (const user of plan.users)
    line(
      `${user.name}: ${user.keys.length} SSH ${user.keys.length === 1 ? "key" : "keys"}${user.password === null ? "" : `, password <secret ${user.password}>`}${user.sudo ? ", sudo" : ""}`,
      user.from,
    );
  title("Hosts");
  for (const host of plan.hosts) line(`${host.address} ${host.names.join(" ")}`, host.from);
  if (plan.install !== undefined) {
    title("Installation");
    line(installTitle(plan.install), plan.install.from);
    for (const { text, from } of diskLines(plan.install)) line(text, from);
    for (const { key, from } of plan.install.keys) line(`autoinstall key ${key}`, from);
  }
  title("First boot, in this order");
  let count = 0;
  const numbered = (text: string, from: Position): void =>
    line(`${String(++count).padStart(3)}. ${text}`, from);
  for (const archive of plan.apt.archives)
    numbered(`archive ${archive.name}: ${redacted(archive.uri)} ${redacted(archive.suite)}`, archive.from);
  for (const answer of plan.debconf)
    numbered(`debconf ${answer.question} = ${redacted(answer.value)}`, answer.from);
  for (const { name, from } of plan.packages) numbered(`package ${name}`, from);
  for (const directory of plan.directories)
    numbered(`directory ${directory.path} ${directory.owner} ${directory.mode}`, directory.from);
  for (const file of plan.files) {
    const how =
      file.content.kind === "whole"
        ? file.once
          ? "written where absent"
          : "written"
        : `${file.content.changes.length} settings changed`;
    numbered(
      `file ${file.path} ${file.owner} ${file.mode}, ${how}${file.restarts.length === 0 ? "" : `; restarts ${file.restarts.join(", ")}`}`,
      file.from,
    );
  }
  const titles = new Map(plan.blocks.map(({ id, title }) => [id, title]));
  plan.blocks.forEach((block, index) => {
    // Said only where it is not the block above: what comes after none of the others is done beside them.
    const after = block.after.map((id) => titles.get(id) ?? id);
    const plain =
      index === 0 ? after.length === 0 : after.length === 1 && block.after[0] === plan.blocks[index - 1]?.id;
    const when = after.length === 0 ? "beside the above" : `after ${after.join(", ")}`;
    line(`${block.title}${plain ? "" : ` (${when})`}:`, null);
    for (const action of block.actions) numbered(actionText(action), action.from);
  });
  if (plan.checks.length > 0) line("checks:", null);
  for (const check of plan.checks) numbered(actionText(check), check.from);
  if (plan.ports.length > 0) {
    title("Ports");
    for (const { port, protocol, from } of plan.ports) line(`${port}/${protocol}`, from);
  }
  return `${out.join("\n")}\n`;
}

function actionText(action: Action): string {
  switch (action.kind) {
    case "unit":
      return `unit ${action.unit}: enabled and started${action.validate === null ? "" : `, validated by ${probeText(action.validate)}`}`;
    case "step":
      return `step ${action.name}: ${command(action.run, action.user)}${action.unless === null ? ", repeatable" : `, unless ${probeText(action.unless)}`}`;
    default:
      return `${action.kind} ${action.name}: ${probeText(action.probe)} within ${action.within} s`;
  }
}

function probeText(probe: Probe): string {
  switch (probe.kind) {
    case "tcp":
      return `${redacted(probe.address)} accepts a connection`;
    case "http":
      return `${redacted(probe.url)} answers ${probe.status}${probe.contains === null ? "" : ` with ${redacted(probe.contains)}`}`;
    case "run":
      return `${command(probe.run, probe.user)} exits ${probe.exit}${probe.prints === null ? "" : ` and prints ${redacted(probe.prints)}`}`;
    case "file":
      return `${redacted(probe.path)} exists${probe.contains === null ? "" : ` and contains ${redacted(probe.contains)}`}`;
    case "unit":
      return `${redacted(probe.unit)} is active`;
  }
}

function command(run: readonly Filled[], user: string | null): string {
  const words = run.map((word) => {
    const shown = redacted(word);
    return /^[\w@%+=:,./-]+$/.test(shown)
      ? shown
      : `'${shown.length > 60 ? `${shown.slice(0, 57)}...` : shown}'`;
  });
  return `${words.join(" ")}${user === null ? "" : ` (as ${user})`}`;
}
