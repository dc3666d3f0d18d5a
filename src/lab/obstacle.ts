/** Something that keeps a driver from running here, and what to do about it. */
export interface Obstacle {
  readonly message: string;
  /** What a person does about it, such as `apt-get install qemu-system-x86`. */
  readonly hint: string;
}
