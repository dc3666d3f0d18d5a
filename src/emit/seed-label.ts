/** The label by which cloud-init's NoCloud finds a seed. */
export const seedLabel = "cidata";
