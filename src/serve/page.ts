/** Answers with the page that shows how the nodes do. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { answer } from "./server.ts";

const files: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/status": ["index.html", "text/html; charset=utf-8"],
  "/status/page.css": ["page.css", "text/css; charset=utf-8"],
  "/status/page.js": ["page.js", "text/javascript; charset=utf-8"],
};

/** The page shows what machines say: it runs no script but its own, loads from nowhere else, and is in no frame. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** @param folder with the page's files */
export function pageAnswers(
  folder: string,
): (request: IncomingMessage, response: ServerResponse, path: string) => boolean {
  const read = new Map<string, { readonly text: string; readonly etag: string }>();
  return (request, response, path) => {
    if (request.method !== "GET" && request.method !== "HEAD") return false;
    if (path === "/" || path === "/status/") {
      answer(request, response, 302, "see /status\n", { Location: "/status" });
      return true;
    }
    const [file, type] = files[path] ?? [];
    if (file === undefined || type === undefined) return false;
    let found = read.get(file);
    if (found === undefined) {
      const text = readFileSync(join(folder, file), "utf8");
      found = { text, etag: `"${createHash("sha256").update(text).digest("hex").slice(0, 32)}"` };
      read.set(file, found);
    }
    const headers = {
      "Content-Type": type,
      "Content-Security-Policy": policy,
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-cache",
      ETag: found.etag,
    };
    if (request.headers["if-none-match"] === found.etag) {
      response.writeHead(304, headers);
      response.end();
    } else answer(request, response, 200, found.text, headers);
    return true;
  };
}
