/**
 * Keys that were looked for lately and have no row on disk. A key that is made is looked for by the command that makes it, again when its entry is
 * applied, and once more as it is written: one search in LevelDB, which looks into several files for what is not there, is enough. Two sets take turns:
 * what was found absent long ago is forgotten with the older one.
 */

/** Most keys of one set. What is looked for again is looked for soon. */
const MOST_KEYS = 4_096;

/** Whoever writes rows must tell it. */
export class AbsentKeys {
  private young = new Set<string>();
  private old = new Set<string>();

  /** @param name latin-1 text of the key */
  has(name: string): boolean {
    return this.young.has(name) || this.old.has(name);
  }

  add(name: string): void {
    if (this.young.size >= MOST_KEYS) {
      this.old = this.young;
      this.young = new Set();
    }
    this.young.add(name);
  }

  delete(name: string): void {
    this.young.delete(name);
    this.old.delete(name);
  }

  clear(): void {
    this.young.clear();
    this.old.clear();
  }
}
