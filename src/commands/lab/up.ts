/** `seedsmith lab up` */
import { bringUp, exitOf } from "./bring-up.ts";
import { recordNodes } from "./record.ts";
import type { LabRequest } from "./request.ts";
import { loginLines } from "./words.ts";

/** Brings the lab up and leaves it standing, whatever its nodes say. */
export async function up(request: LabRequest): Promise<number> {
  const brought = await bringUp(request);
  if (typeof brought === "number") return brought;
  const { state, driver, result } = brought;
  await recordNodes(brought);
  if (request.format === "text") {
    process.stderr.write(loginLines(driver, state.lab));
    process.stderr.write("seedsmith lab down takes it down\n");
  }
  return exitOf(result);
}
