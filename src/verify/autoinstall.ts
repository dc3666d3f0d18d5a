/** Reads an installation's files back: by the installer's own language, and against the seed that they hand over. */
import { Problems } from "../core/problem.ts";
import { autoinstallFolder } from "../emit/autoinstall.ts";
import type { Artifact } from "../emit/lines.ts";
import { seedLabel } from "../emit/seed-label.ts";
import type { Data } from "../load/marks.ts";
import type { Install } from "../resolve/model.ts";
import { checkAutoinstall } from "../validate/autoinstall.ts";
import { isoDifferences } from "./iso-reader.ts";
import { difference, readBack, VersionsDiffer } from "./reparse.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });
const first = "#cloud-config\n";

/**
 * Verifies the files of a node's installation.
 * @returns what is wrong, empty when nothing is
 */
export function verifyInstall(artifacts: readonly Artifact[], install: Install): string[] {
  const wrong: string[] = [];
  const bytesOf = (name: string): Uint8Array =>
    artifacts.find((one) => one.name === name)?.bytes ?? new Uint8Array();
  const textOf = (name: string): string => decoder.decode(bytesOf(name));
  const bare = textOf(`${autoinstallFolder}/autoinstall.yaml`);
  const whole = textOf(`${autoinstallFolder}/user-data`);
  if (whole !== `${first}autoinstall:\n${indent(bare)}`)
    wrong.push("the seed medium and the bare form for a remastered image differ");

  // Word for word: what the installed system is handed is the seed, which is verified by itself.
  const cut = bare.indexOf("\nuser-data:\n") + 1;
  const handed = bare.slice(cut + "user-data:\n".length);
  const seed = textOf("user-data");
  if (cut === 0 || !seed.startsWith(first) || handed !== indent(seed.slice(first.length)))
    wrong.push("the installer hands over another first boot than the seed's");

  try {
    const value = readBack(bare.slice(0, cut)) as { readonly [key: string]: unknown };
    const meant = artifacts.find(({ name }) => name === `${autoinstallFolder}/autoinstall.yaml`)?.meant;
    const { "user-data": _handed, ...keys } = meant as { readonly [key: string]: unknown };
    const place = difference(value, keys);
    if (place !== null)
      wrong.push(`autoinstall does not read as what was written${place === "" ? "" : `: ${place} differs`}`);
    const problems = new Problems();
    checkAutoinstall(
      { file: "autoinstall", value: value as Data, marks: { v: [1, 1, 1] } },
      install.firmware,
      install.installer,
      problems,
    );
    for (const { message } of problems.list) wrong.push(`autoinstall: ${message}`);
    const meta = `${autoinstallFolder}/meta-data`;
    if (difference(readBack(textOf(meta)), artifacts.find(({ name }) => name === meta)?.meant) !== null)
      wrong.push("the installer's meta-data does not read as what was written");
  } catch (error) {
    if (error instanceof VersionsDiffer)
      wrong.push("autoinstall reads differently as YAML 1.1 and as YAML 1.2");
    else wrong.push(`autoinstall cannot be read back: ${(error as Error).message.split("\n")[0]}`);
  }

  const files = ["user-data", "meta-data"].map((name) => ({
    name,
    bytes: bytesOf(`${autoinstallFolder}/${name}`),
    origins: [],
  }));
  wrong.push(
    ...isoDifferences(bytesOf(`${autoinstallFolder}/seed.iso`), seedLabel, files).map(
      (difference) => `${autoinstallFolder}/seed.iso: ${difference}`,
    ),
  );
  return wrong;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
