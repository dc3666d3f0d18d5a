/** A node whose machine runs and from which no verdict will come: its runner was killed, or never started. */
import type { Driver, LabDescription } from "../driver.ts";

const unit = "seedsmith-node.service";
const look = `systemctl show -p ActiveState -p Result ${unit}; cat /run/cloud-init/result.json`;

/**
 * Asks a node. cloud-init starts the runner and waits for it, so once cloud-init has ended the runner has too.
 * @returns why nothing is to be expected any more, or null while something is, and where the node cannot tell
 */
export async function silenced(driver: Driver, lab: LabDescription, machine: string): Promise<string | null> {
  let said: string;
  try {
    const done = await driver.exec(lab, machine, ["sh", "-c", look], { timeout: 30 });
    // Without a result cloud-init is still at work.
    if (done.status !== 0) return null;
    said = done.stdout;
  } catch {
    return null;
  }
  const state = /^ActiveState=(.*)$/m.exec(said)?.[1];
  if (state === "failed")
    return `the runner ended without a verdict (${unit}: ${/^Result=(.*)$/m.exec(said)?.[1] ?? "failed"})`;
  if (state !== "inactive") return null;
  let errors: readonly string[] = [];
  try {
    const found = JSON.parse(said.slice(said.indexOf("{"))) as { v1?: { errors?: string[] } };
    errors = found.v1?.errors ?? [];
  } catch {}
  return `cloud-init ended without starting the runner: ${errors.length === 0 ? "it reports no errors" : errors.join("; ")}`;
}
