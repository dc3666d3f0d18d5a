/** Outside tools judge what was rendered. A tool that is missing is skipped and says so, never passed. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { load, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";

export interface ToolResult {
  readonly tool: string;
  readonly node: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  readonly detail: string;
}

interface Run {
  readonly missing: boolean;
  readonly status: number | null;
  readonly output: string;
}

/** Debian keeps blkid and netplan in sbin, which a user's PATH often lacks. */
function run(command: string, args: readonly string[], input?: string): Run {
  const result = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 120_000,
    env: {
      ...process.env,
      LC_ALL: "C.UTF-8",
      PATH: [process.env["PATH"] ?? "", "/usr/sbin", "/sbin"].join(delimiter),
    },
    ...(input === undefined ? {} : { input }),
  });
  return {
    missing: (result.error as NodeJS.ErrnoException | undefined)?.code === "ENOENT",
    status: result.status,
    output: `${result.stdout ?? ""}${result.stderr ?? ""}`.trim(),
  };
}

interface WrittenFile {
  readonly path: string;
  readonly content: string;
  readonly encoding?: string;
}

/** A node's or the site's result of a tool. */
function result(tool: string, node: string, ran: Run, bad?: (output: string) => string | null): ToolResult {
  if (ran.missing) return { tool, node, outcome: "skipped", detail: "it is not installed" };
  const complaint = bad?.(ran.output) ?? null;
  const failed = ran.status !== 0 || complaint !== null;
  const last = ran.output.split("\n").slice(-5).join(" | ") || `exit ${ran.status}`;
  return {
    tool,
    node,
    outcome: failed ? "failed" : "passed",
    detail: failed ? (complaint ?? last) : "",
  };
}

/**
 * Holds the site's own files, those for DHCP servers, against the servers that read them.
 * @param site what the results name, as these files are no node's
 */
export function runSiteTools(site: string, files: readonly Artifact[]): readonly ToolResult[] {
  const scratch = mkdtempSync(join(tmpdir(), "seedsmith-tools-"));
  try {
    return files.flatMap(({ name, bytes }) => {
      const path = join(scratch, basename(name));
      writeFileSync(path, bytes, { mode: 0o600 });
      switch (basename(name)) {
        case "dnsmasq.conf":
          return [result("dnsmasq --test", site, run("dnsmasq", ["--test", `--conf-file=${path}`]))];
        case "kea-dhcp4.conf":
          return [result("kea-dhcp4 -t", site, run("kea-dhcp4", ["-t", path]))];
        default:
          return [];
      }
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs every tool over every node's artifacts. */
export async function runTools(
  nodes: ReadonlyMap<string, readonly Artifact[]>,
): Promise<readonly ToolResult[]> {
  const results: ToolResult[] = [];
  const scratch = mkdtempSync(join(tmpdir(), "seedsmith-tools-"));
  try {
    for (const [node, artifacts] of nodes) {
      const folder = join(scratch, node);
      mkdirSync(folder, { mode: 0o700 });
      const path = (name: string): string => join(folder, name);
      for (const { name, bytes } of artifacts) {
        mkdirSync(dirname(path(name)), { recursive: true, mode: 0o700 });
        writeFileSync(path(name), bytes, { mode: 0o600 });
      }
      const note = (tool: string, ran: Run, bad?: (output: string) => string | null): void => {
        results.push(result(tool, node, ran, bad));
      };
      note(
        "cloud-init schema",
        run("cloud-init", ["schema", "--config-file", path("user-data")]),
        (output) =>
          /Valid schema|Valid cloud-config/i.test(output)
            ? null
            : `it does not call the file valid: ${output.split("\n").at(-1)}`,
      );

      const root = path("root");
      mkdirSync(join(root, "etc", "netplan"), { recursive: true });
      const network = artifacts.find(({ name }) => name === "network-config");
      const text = new TextDecoder().decode(network?.bytes);
      writeFileSync(
        join(root, "etc", "netplan", "50-seedsmith.yaml"),
        `network:\n${text.replace(/^(?=.)/gm, "  ")}`,
        { mode: 0o600 },
      );
      note("netplan generate", run("netplan", ["generate", "--root-dir", root]));

      const xorriso = run("xorriso", [
        "-abort_on",
        "WARNING",
        "-indev",
        path("seed.iso"),
        "-find",
        "/",
        "-type",
        "f",
      ]);
      note("xorriso", xorriso, (output) =>
        ["user-data", "meta-data", "network-config", "vendor-data"].every((name) =>
          output.includes(`'/${name}'`),
        )
          ? null
          : "it does not see the four files",
      );
      note("isoinfo", run("isoinfo", ["-J", "-f", "-i", path("seed.iso")]), (output) =>
        output.includes("/user-data") ? null : "it does not see user-data by its Joliet name",
      );
      note("blkid", run("blkid", ["-p", "-o", "export", path("seed.iso")]), (output) =>
        output.includes("LABEL=cidata") ? null : "it does not see the label cidata",
      );

      const userData = load(
        new TextDecoder().decode(artifacts.find(({ name }) => name === "user-data")?.bytes),
        { schema: YAML11_SCHEMA },
      ) as { write_files?: readonly WrittenFile[] };
      const written = (userData.write_files ?? []).map(({ path: place, content, encoding }) => ({
        place,
        text: encoding === "gz+b64" ? gunzipSync(Buffer.from(content, "base64")).toString("utf8") : content,
      }));
      let shells = 0;
      let pythons = 0;
      for (const { place, text: script } of written) {
        if (/^#! ?\/(usr\/)?bin\/(env )?(sh|bash|dash)\b/.test(script)) {
          shells += 1;
          note(`sh -n ${place}`, run("sh", ["-n"], script));
        } else if (/^#! ?\/usr\/bin\/(env )?python3/.test(script)) {
          pythons += 1;
          const copy = path(`script-${pythons}.py`);
          writeFileSync(copy, script);
          note(`python3 -m py_compile ${place}`, run("python3", ["-m", "py_compile", copy]));
        }
      }
      if (shells === 0 && pythons === 0)
        results.push({
          tool: "scripts",
          node,
          outcome: "failed",
          detail: "the seed holds no script, not even the runner",
        });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return results;
}
