/** Programs that end with this process, however that ends: after its kill nobody else would end them. */
import { missingTools } from "./tools.ts";

/** The kernel sends the signal when the process that started the program ends, unless it had ended before it was asked. */
const withParent: readonly string[] = ["setpriv", "--pdeathsig", "KILL", "--"];
const unlessGone: readonly string[] = ["sh", "-c", 'test "$PPID" = "$1" || exit; shift; exec "$@"', "sh"];

/** Namespaces whose end is that of all processes and mounts in them. They take root. */
const ownNamespaces: readonly string[] = [
  ...["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"],
];

/**
 * The command line of one program that ends with this process; where the kernel offers nothing for that, as it is.
 * @param all whether the processes that it starts end, too, which takes root. Whoever is not root gets the command as
 * it is then: without the first of them the others would go on, and nobody would clear up after them
 */
export function tethered(argv: readonly string[], all = false): string[] {
  const root = process.getuid?.() === 0;
  if (process.platform !== "linux" || (all && !root)) return [...argv];
  if (missingTools({ setpriv: "util-linux", unshare: "util-linux" }) !== null) return [...argv];
  return [...withParent, ...unlessGone, String(process.pid), ...(all ? ownNamespaces : []), ...argv];
}
