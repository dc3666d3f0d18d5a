/** The Python for tests of what runs on nodes: $PYTHON, or python3. */
import { spawnSync } from "node:child_process";

const asked = process.env["PYTHON"] ?? "python3";
const found = spawnSync(asked, ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });

/** Whether there is none. */
export const absent: boolean = found.error !== undefined;

/**
 * The interpreter by the path that it says itself: where a version manager has a script of that name, looking for it
 * takes as long as starting it, and tests start hundreds.
 */
export const python: string = (found.status === 0 && found.stdout.trim()) || asked;
