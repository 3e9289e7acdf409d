/** A stream from a peer that can be ended from here, though its sender may be silent for long. */
export class IncomingStream {
  /** Settles when nobody works on what came any more. */
  readonly over: Promise<void>;
  private readonly settle: () => void;
  private cancelled: Error | undefined;
  private refuse: (error: Error) => void = () => {};

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.settle = resolve;
  }

  /** Whoever waits for the next frame is told, now and later. */
  cancel(error: Error): void {
    this.cancelled ??= error;
    this.refuse(error);
  }

  /** Runs what works on it. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } finally {
      this.settle();
    }
  }

  async *frames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        if (this.cancelled !== undefined) throw this.cancelled;
        const next = await new Promise<IteratorResult<Buffer>>((resolve, reject) => {
          this.refuse = reject;
          iterator.next().then(resolve, reject);
        });
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Behind a frame that may not come for long.
      iterator.return?.().catch(() => {});
    }
  }
}
