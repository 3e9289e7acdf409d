/** Work of which only so much is under way at a time; who comes later waits for a turn. */
export class Turns {
  private readonly most: number;
  private readonly waiting: (() => void)[] = [];
  private taken = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** Runs `work` when it has a turn. @throws what the signal was aborted with while it waited; what `work` throws */
  async run<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    if (this.taken >= this.most) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.taken += 1;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      // Who waits takes over the place of who is done.
      const next = this.waiting.shift();
      if (next === undefined) this.taken -= 1;
      else next();
    }
  }
}
