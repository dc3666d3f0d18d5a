/** The program of a machine's keeper: `node keep.js FOLDER`. */
import { keep } from "./keeper.ts";

void keep(process.argv[2] ?? "");
