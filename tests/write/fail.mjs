// Preloaded by tests (node --import): makes the n-th call of a function of node:fs kill the process or fail.
// SEEDSMITH_TEST_FAIL="<function>:<n>:<kill | error code>"; counts only paths that contain SEEDSMITH_TEST_PATH.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [name, nth, what] = (process.env.SEEDSMITH_TEST_FAIL ?? "").split(":");
if (name) {
  const real = fs[name];
  let count = 0;
  fs[name] = (...args) => {
    if (!args.some((arg) => typeof arg === "string" && arg.includes(process.env.SEEDSMITH_TEST_PATH ?? "")))
      return real(...args);
    count += 1;
    if (count === Number(nth)) {
      if (what === "kill") {
        process.kill(process.pid, "SIGKILL");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
      }
      throw Object.assign(new Error(`${what}: injected`), { code: what, path: args[0] });
    }
    return real(...args);
  };
  syncBuiltinESMExports();
}
