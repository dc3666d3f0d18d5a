/** How qemu machines reach apt-cacher-ng of this host, where it runs. */
import { must } from "../../command.ts";
import { proxyAnswers, proxyPort } from "../../package-proxy.ts";

/** The host's address as the bridges' router has it for its way out, or null. */
async function hostAddress(namespace: string): Promise<string | null> {
  const routes = JSON.parse(
    (await must(["ip", "-j", "-n", namespace, "-4", "route", "show", "default"])) || "[]",
  ) as { gateway?: string }[];
  return routes[0]?.gateway ?? null;
}

/**
 * The address of the proxy as machines of a network reach it, or null where there is none.
 * @param user what qemu's user network answers for; its host is the loopback interface of this host
 * @param namespace of the bridges, or null
 */
export async function packageProxy(
  user: { readonly host: string } | null,
  namespace: string | null,
): Promise<string | null> {
  if (namespace !== null) {
    const address = await hostAddress(namespace);
    return address !== null && (await proxyAnswers(address)) ? `http://${address}:${proxyPort}` : null;
  }
  return user !== null && (await proxyAnswers("127.0.0.1")) ? `http://${user.host}:${proxyPort}` : null;
}
