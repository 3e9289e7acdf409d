/**
 * Turns of a node's transactions that name the same keys. Those that run side by side read the same values, and all but one have to begin again: twenty scripts
 * on one queue would need twenty rounds, and give up before. One after the other they need one each.
 */

/** More keys than this are not looked at: whoever names so many hardly meets the same ones again. */
const MAX_KEYS = 64;

export class KeyTurns {
  /** Ends when the last that has a key's name in its list is done. */
  private readonly last = new Map<string, Promise<void>>();

  /** Does something after all that has begun before and shares a key. */
  async take<T>(keys: readonly Buffer[], work: () => Promise<T>): Promise<T> {
    if (keys.length > MAX_KEYS) return work();
    const names = new Set(keys.map((key) => key.toString('latin1')));
    const before = [...names].flatMap((name) => this.last.get(name) ?? []);
    let done = (): void => {};
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    for (const name of names) this.last.set(name, mine);
    try {
      await Promise.all(before);
      return await work();
    } finally {
      done();
      for (const name of names) if (this.last.get(name) === mine) this.last.delete(name);
    }
  }
}
