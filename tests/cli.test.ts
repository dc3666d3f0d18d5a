/** The command line as a process; help.txt holds the help texts (BLESS=1 writes them anew). */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { built, type Outcome, outcomeOf, type Program } from "./support/program.ts";
import { suite } from "./support/suite.ts";

const root = join(import.meta.dirname, "..");

const siteText = `site: lab
target: ubuntu-22.04
networks:
  management: { cidr: 10.0.0.0/24 }
access:
  users: [{ name: ops, ssh_authorized_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ops@desk"] }]
nodes:
  one: { profile: base, interfaces: { management: { mac: "52:54:00:00:00:01", address: 10.0.0.1 } } }
  two: { profile: client, interfaces: { management: { mac: "52:54:00:00:00:02", address: 10.0.0.2 } } }
`;

suite("command line", (test) => {
  let cwd = "";
  let program: Program;
  test.before(() => {
    program = built();
    cwd = mkdtempSync(join(tmpdir(), "seedsmith-cli-"));
    mkdirSync(join(cwd, "home", ".ssh"), { recursive: true });
    mkdirSync(join(cwd, "empty"));
    mkdirSync(join(cwd, "work", "below"), { recursive: true });
    writeFileSync(join(cwd, "work", "site.yaml"), siteText);
    mkdirSync(join(cwd, "work", "profiles"));
    writeFileSync(
      join(cwd, "work", "profiles", "client.yaml"),
      "profile: client\nextends: base\ncomponents: [openstack]\n",
    );
  });
  test.after(() => {
    program.remove();
    rmSync(cwd, { recursive: true, force: true });
  });

  const run = (args: readonly string[], folder = "work", cut = false): Promise<Outcome> => {
    const child = spawn(process.execPath, [program.path, ...args], {
      cwd: join(cwd, folder),
      env: { ...process.env, HOME: join(cwd, "home"), USERPROFILE: join(cwd, "home") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (cut) child.stdout.destroy();
    return outcomeOf(child);
  };

  test("help is as in help.txt", async () => {
    const verbs = ["up", "status", "check", "exec", "logs", "down", "doctor", "images", "timeline"];
    const topics = [
      ...[
        "",
        "render",
        "check",
        "show",
        "init",
        "match",
        "pxe",
        "publish",
        "serve",
        "watch",
        "reinstall",
        "test",
        "lab",
      ],
      ...verbs.map((verb) => `lab ${verb}`),
    ];
    const texts = await Promise.all(
      topics.map((topic) => run([...topic.split(" ").filter(Boolean), "--help"])),
    );
    for (const { code, err } of texts) assert.equal([code, err], [0, ""]);
    const whole = texts.map(({ out }, index) => `$ seedsmith ${topics[index]} --help\n${out}`).join("\n");
    const path = join(root, "tests", "commands", "help.txt");
    if (process.env["BLESS"] === "1") writeFileSync(path, whole);
    assert.fixture(whole, readFileSync(path, "utf8"));
  });

  test("labs that are not there, and drivers that nobody has", async () => {
    const [down, status, exec, driver, node, timeout] = await Promise.all([
      run(["lab", "down"]),
      run(["lab", "status", "--format", "json"]),
      run(["lab", "exec", "one", "--", "true"]),
      run(["lab", "up", "--driver", "nspwn"]),
      run(["test", "--node", "thre"]),
      run(["lab", "up", "--timeout", "5"]),
    ]);
    assert.equal([down.code, down.out], [0, "there is no lab of this site: nothing to take down\n"]);
    assert.is(status.code, 3);
    assert.is((JSON.parse(status.out) as { error: string }).error, "there is no lab of this site");
    assert.equal([exec.code, exec.out], [3, ""]);
    assert.match(exec.err, "hint: seedsmith lab up makes one");
    assert.is(driver.code, 2);
    assert.match(driver.err, 'there is no driver "nspwn": did you mean "nspawn"?');
    assert.is(node.code, 1);
    assert.match(node.err, 'the site has no node "thre"');
    assert.is(timeout.code, 2);
    assert.match(timeout.err, '--timeout is a number with s, m or h, such as 20m, not "5"');
  });

  test("--version", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    assert.equal(await run(["--version"]), { code: 0, out: `${version}\n`, err: "" });
  });

  test("wrong usage: exit code 2, nothing on the output, what to do instead", async () => {
    const wrong: [args: string[], message: string][] = [
      [["chek"], 'there is no command "chek": did you mean "check"?'],
      [["help", "rendr"], 'there is no command "rendr": did you mean "render"?'],
      [["render", "--sit", "x"], 'there is no option "--sit" for render: did you mean "--site"?'],
      [["render", "--tools"], "render takes no --tools"],
      [["render", "--site"], "--site wants a value"],
      [["render", "--strict=yes"], "--strict takes no value"],
      [["render", "con01"], 'render takes no argument "con01"'],
      [["check", "--format", "xml"], '--format is text or json, not "xml"'],
    ];
    const outcomes = await Promise.all(wrong.map(([args]) => run(args)));
    for (const [index, outcome] of outcomes.entries())
      assert.equal(outcome, {
        code: 2,
        out: "",
        err: `seedsmith: ${wrong[index]?.[1]}\nseedsmith --help tells what there is\n`,
      });
    const none = await run([]);
    assert.equal([none.code, none.out], [2, ""]);
    assert.match(none.err, "Usage: seedsmith COMMAND");
  });

  test("render: a line a node, nothing on the error output, the second time nothing changes", async () => {
    const first = await run(["render"]);
    assert.equal([first.code, first.err], [0, ""]);
    const lines = first.out.split("\n");
    assert.is(lines[0], "site: site.yaml");
    assert.match(
      lines[1] ?? "",
      /^one {2}ubuntu-22\.04 {2}\d+ packages, \d+ files, \d+ steps, \d+ checks {2}seed\.iso \d+ bytes sha256:[0-9a-f]{16} {2}\d+ created$/,
    );
    assert.match(lines[2] ?? "", /^two {2}/);
    assert.is(lines[3], "written to build/lab/");
    assert.match(first.out, /^ {2}.*qemu-system-x86_64 .*seed\.iso/m);
    assert.not.match(first.out, /sudo/);
    const second = await run(["render", "--profile", "base", "--node", "two"], "work/below");
    assert.is(second.code, 0, second.err);
    assert.match(second.out, /^site: \.\.[/\\]site\.yaml\ntwo .* created\n/);
    const same = await run(["render"]);
    assert.match(same.out, /nothing changed in build\/lab\/\n/);
  });

  test("check as JSON: fine, and with a problem", async () => {
    const fine = await run(["check", "--format", "json"]);
    assert.equal([fine.code, fine.err], [0, ""]);
    const { site, source, ok, problems, command, nodes } = JSON.parse(fine.out);
    assert.equal(
      [site, source, ok, problems, command, nodes.length],
      ["lab", "site.yaml", true, [], "check", 2],
    );
    const wrong = await run(["check", "--format", "json", "--node", "twp"]);
    assert.equal([wrong.code, wrong.err], [1, ""]);
    assert.equal(JSON.parse(wrong.out).problems, [
      {
        code: "no-match",
        severity: "error",
        file: null,
        line: null,
        column: null,
        message: 'the site has no node "twp"',
        hint: 'did you mean "two"?',
        also: [],
      },
    ]);
    assert.is(existsSync(join(cwd, "work", "below", "build", "lab", "one")), false);
  });

  test("problems: exit code 1, the report on the error output; which site is the first line", async () => {
    writeFileSync(
      join(cwd, "empty", "bad.yaml"),
      siteText.replace("profile: base", "profile: bse").replace("profile: client", "profile: base"),
    );
    const { code, out, err } = await run(["render", "--site", "bad.yaml"], "empty");
    assert.equal([code, out], [1, "site: bad.yaml\n"]);
    assert.is(
      err,
      `error[unknown-profile]: there is no profile "bse"
 --> bad.yaml:8:19
8 |   one: { profile: bse, interfaces: { management: { mac: "52:54:00:00:00:01", address: 10.0.0.1 } } }
  |                   ^^^
  hint: did you mean "base"?

1 problem; nothing was written
`,
    );
    assert.equal(readdirSync(join(cwd, "empty")), ["bad.yaml"]);
    const elsewhere = await run(["check", "--site", "empty/bad.yaml"], ".");
    assert.match(elsewhere.err, "\n --> empty/bad.yaml:8:19\n8 |   one: {");
    const example = await run(["check"], "empty");
    assert.equal([example.code, example.err], [0, ""]);
    assert.match(example.out, /^site: the built-in example\n/);
  });

  test("no match lists what exists", async () => {
    const { code, err } = await run(["check", "--profile", "client", "--node", "one"]);
    assert.is(code, 1);
    assert.match(err, "the site has: one (base), two (client < base)");
  });

  test("an output folder that cannot be written: exit code 3", async () => {
    writeFileSync(join(cwd, "work", "in-the-way"), "");
    const { code, err } = await run(["render", "--out", "in-the-way"]);
    assert.is(code, 3);
    assert.match(err, /^error\[output-unwritable\]/);
  });

  test("show: no secrets, and where each thing comes from", async () => {
    const { code, out, err } = await run(["show", "one"]);
    assert.equal([code, err], [0, ""]);
    assert.match(out, /^site: site\.yaml\none \(base\) becomes, on ubuntu-22\.04:\n/);
    assert.match(out, /package chrony {2}\[templates\/components\/chrony\/component\.yaml:\d+\]/);
  });

  test("a closed pipe is no error", async () => {
    const { code, err } = await run(["show", "one"], "work", true);
    assert.equal([code, err], [0, ""]);
  });

  test("init: takes the person's keys, says when there are none, overwrites nothing; its site compiles", async () => {
    const none = await run(["init", "first"]);
    assert.equal([none.code, none.err], [0, ""]);
    assert.match(none.out, "nobody will be able to log in");
    writeFileSync(join(cwd, "home", ".ssh", "id.pub"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5QQ== me@desk\n");
    const made = await run(["init", "second"]);
    assert.match(made.out, "taken from ~/.ssh: 1 public key");
    assert.match(readFileSync(join(cwd, "work", "second", "site.yaml"), "utf8"), "ssh-ed25519 AAAA");
    assert.ok(existsSync(join(cwd, "work", "second", "profiles")));
    assert.ok(existsSync(join(cwd, "work", "second", "templates", "components")));
    writeFileSync(
      join(cwd, "work", "second", "profiles", "mine.yaml"),
      "profile: mine\nextends: base\ncomponents: [chrony]\npackages: [htop]\n",
    );
    const [again, checked] = await Promise.all([
      run(["init", "second"]),
      run(["check", "--format", "json"], "work/second"),
    ]);
    assert.is(again.code, 1);
    assert.match(again.err, "second is not empty");
    assert.is(checked.code, 0, checked.out);
    assert.equal(JSON.parse(checked.out).problems, []);
  });
});
