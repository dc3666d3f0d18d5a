/** `seedsmith lab up` */
import { relative } from "node:path";
import { bringUp, exitOf } from "./bring-up.ts";
import { gather } from "./record.ts";
import type { LabRequest } from "./request.ts";
import { loginLines } from "./words.ts";

/** Brings the lab up and leaves it standing, whatever its nodes say. */
export async function up(request: LabRequest): Promise<number> {
  const brought = await bringUp(request);
  if (typeof brought === "number") return brought;
  const { state, driver, result } = brought;
  const { bundles } = await gather(brought);
  if (request.format === "json")
    for (const path of bundles) process.stdout.write(`${JSON.stringify({ event: "lab-bundle", path })}\n`);
  else {
    for (const path of bundles)
      process.stderr.write(`logs and seed without secrets: ${relative(request.choice.cwd, path)}\n`);
    process.stderr.write(loginLines(driver, state.lab));
    process.stderr.write("seedsmith lab down takes it down\n");
  }
  return exitOf(result);
}
