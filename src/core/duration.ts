/**
 * Reads a duration such as `30s`, `5m`, `2h`.
 * @returns seconds, or null when the text is no duration.
 */
export function seconds(text: string): number | null {
  const match = /^(\d{1,6})(s|m|h)$/.exec(text);
  if (match === null) return null;
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[match[2] as "s" | "m" | "h"];
}

/**
 * Reads a size such as `512M`, `8G`, `1T` (powers of 1024).
 * @returns bytes, or null when the text is no size.
 */
export function bytes(text: string): number | null {
  const match = /^(\d{1,6})(M|G|T)$/.exec(text);
  if (match === null) return null;
  return Number(match[1]) * { M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }[match[2] as "M" | "G" | "T"];
}
