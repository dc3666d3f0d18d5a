/** apt-cacher-ng of this host, where it runs: what one machine has downloaded, others do not again. */

/** Its port; `SEEDSMITH_APT_CACHER_PORT` where somebody has changed it. */
export const proxyPort: number = Number(process.env.SEEDSMITH_APT_CACHER_PORT ?? 3142);

/**
 * Whether apt-cacher-ng answers at an address of this host.
 * @param address without port
 */
export async function proxyAnswers(address: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${address}:${proxyPort}/acng-report.html`, {
      signal: AbortSignal.timeout(2000),
    });
    return (await response.text()).includes("Apt-Cacher");
  } catch {
    return false;
  }
}
