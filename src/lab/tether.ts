/** Programs that end with this process, however that ends: after its kill nobody else would end them. */
import { missingTools } from "./tools.ts";

/** The kernel sends the signal when the process that started the program is gone. */
const withParent: readonly string[] = ["setpriv", "--pdeathsig", "KILL", "--"];

/** Namespaces whose end is that of all processes and mounts in them. They take root. */
const ownNamespaces: readonly string[] = [
  ...["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"],
];

/**
 * The command line of one program that ends with this process; where the kernel offers nothing for that, as it is.
 * @param all whether the processes that it starts end, too: for root alone, others get the program alone
 */
export function tethered(argv: readonly string[], all = false): string[] {
  if (process.platform !== "linux" || missingTools({ setpriv: "util-linux" }) !== null) return [...argv];
  const namespaces = all && process.getuid?.() === 0 ? ownNamespaces : [];
  return [...withParent, ...namespaces, ...argv];
}
