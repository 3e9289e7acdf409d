/**
 * Keeps the order of commands on a key: one that is answered is in the other side's queue before another connection's command on the same key begins.
 * Commands of one connection need not wait for each other, because its answers come in order.
 */

interface Request {
  readonly keys: readonly string[];
  readonly owner: object;
  begin: (() => void) | undefined;
}

export class KeyGate {
  /** Requests a key, in order of arrival; those in front are under way. */
  private readonly queues = new Map<string, Request[]>();

  /**
   * Waits until no other connection has a command on one of the keys under way.
   * @param owner the connection
   * @returns what is to be called when the command was answered
   */
  async enter(keys: readonly string[], owner: object): Promise<() => void> {
    const request: Request = { keys: [...new Set(keys)], owner, begin: undefined };
    for (const key of request.keys) {
      const queue = this.queues.get(key);
      if (queue === undefined) this.queues.set(key, [request]);
      else queue.push(request);
    }
    if (!this.mayBegin(request)) await new Promise<void>((resolve) => (request.begin = resolve));
    return () => this.leave(request);
  }

  /** Keys with commands under way or waiting. */
  get size(): number {
    return this.queues.size;
  }

  private mayBegin({ keys, owner }: Request): boolean {
    return keys.every((key) => {
      for (const before of this.queues.get(key)!) {
        if (before.owner !== owner) return false;
        if (before.keys === keys) return true;
      }
      return true;
    });
  }

  private leave(request: Request): void {
    for (const key of request.keys) {
      const queue = this.queues.get(key)!;
      queue.splice(queue.indexOf(request), 1);
      if (queue.length === 0) this.queues.delete(key);
      for (const next of queue) {
        if (next.begin === undefined || !this.mayBegin(next)) continue;
        const { begin } = next;
        next.begin = undefined;
        begin();
      }
    }
  }
}
