/** The folder in which a site's boot server keeps what it knows, and how a command reaches a server that runs. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";

/** Beside the site's secrets: what it holds must be lost as little as they, or nodes are installed again. */
export function stateFolder(workspace: string, site: string): string {
  return join(workspace, ".seedsmith", `${site}.serve`);
}

/** How to speak to the server that has a state folder open. */
export interface Control {
  /** Such as `http://10.0.0.250`. */
  readonly url: string;
  readonly token: string;
}

const name = "control.json";

export function writeControl(folder: string, control: Control): void {
  writeFileSync(join(folder, name), `${JSON.stringify(control)}\n`, { mode: 0o600 });
}

export function forgetControl(folder: string): void {
  rmSync(join(folder, name), { force: true });
}

/** @returns null where no server has said how */
export function readControl(folder: string): Control | null {
  try {
    const value = JSON.parse(readFileSync(join(folder, name), "utf8")) as Partial<Control>;
    return typeof value.url === "string" && typeof value.token === "string"
      ? { url: value.url, token: value.token }
      : null;
  } catch {
    return null;
  }
}

/**
 * Asks a running server to do something.
 * @returns the answer, or null when nobody is there
 */
export function control(
  { url, token }: Control,
  path: string,
): Promise<{ readonly status: number; readonly text: string } | null> {
  return new Promise((done) => {
    const asked = request(
      `${url}${path}`,
      { method: "POST", headers: { Authorization: `Bearer ${token}` }, timeout: 10_000, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        response.on("end", () => done({ status: response.statusCode ?? 0, text }));
        response.on("error", () => done(null));
      },
    );
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => done(null));
    asked.end();
  });
}
