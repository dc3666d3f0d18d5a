/**
 * `npm test [PATTERN]`: runs every `*.test.ts` below tests/ in one process. PATTERN is a regular expression over
 * the files' paths. The tests that boot machines are a tier of their own, `npm run test:boot`.
 */
import { runFiles } from "./runner.ts";

await runFiles((file) => file.endsWith(".test.ts"), new RegExp(process.argv[2] ?? ""));
