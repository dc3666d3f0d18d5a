/**
 * `npm run test:page [FOLDER]`: looks at the status page in a real Chromium, at two widths and in both colour schemes,
 * and leaves its pictures in FOLDER. Needs Debian's package chromium; no root.
 */
import { testPage } from "./page.ts";

process.exitCode = await testPage(process.argv[2] ?? "build/page");
