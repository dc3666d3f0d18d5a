/** Whether a version of numbers and dots is at least another; parts that are no numbers count as 0. */
export function isAtLeast(version: string, least: string): boolean {
  const numbers = (text: string): number[] =>
    text.split(/[.+]/).map((part) => Number.parseInt(part, 10) || 0);
  const [a, b] = [numbers(version), numbers(least)];
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
