/**
 * Keeps the order of commands on a key: one that is answered is in the other side's queue before another connection's command on the same key begins.
 * Commands of one connection need not wait for each other, because its answers come in order. A command whose keys nobody knows has the gate to itself.
 */
import { type KeyPlace, placeName } from './key-place.ts';

interface Request {
  /** Undefined: all there are. */
  readonly keys: readonly string[] | undefined;
  readonly owner: object;
  /** Requests with lower numbers came before. */
  readonly number: number;
  begin: (() => void) | undefined;
}

export class KeyGate {
  /** Requests a key, in order of arrival; those in front are under way. */
  private readonly queues = new Map<string, Request[]>();
  /** All requests that have not left, in order of arrival. */
  private readonly open = new Set<Request>();
  /** Those of them for all keys. */
  private alone: Request[] = [];
  private count = 0;

  /**
   * Waits until no other connection has a command on one of the keys under way.
   * @param places undefined: on any key
   * @param owner the connection
   * @returns what is to be called when the command was answered
   */
  async enter(places: readonly KeyPlace[] | undefined, owner: object): Promise<() => void> {
    const keys = places === undefined ? undefined : [...new Set(places.map(placeName))];
    const request: Request = { keys, owner, number: this.count++, begin: undefined };
    this.open.add(request);
    if (keys === undefined) this.alone.push(request);
    for (const key of keys ?? []) {
      const queue = this.queues.get(key);
      if (queue === undefined) this.queues.set(key, [request]);
      else queue.push(request);
    }
    if (!this.mayBegin(request)) await new Promise<void>((resolve) => (request.begin = resolve));
    return () => this.leave(request);
  }

  /** Commands under way or waiting. */
  get size(): number {
    return this.open.size;
  }

  private mayBegin(request: Request): boolean {
    const isInFront = (other: Request): boolean => other.number < request.number && other.owner !== request.owner;
    if (request.keys !== undefined)
      return !this.alone.some(isInFront) && request.keys.every((key) => !this.queues.get(key)!.some(isInFront));
    for (const other of this.open) {
      if (other === request) return true;
      if (other.owner !== request.owner) return false;
    }
    return true;
  }

  private leave(request: Request): void {
    const hadAlone = this.alone.length > 0;
    this.open.delete(request);
    this.alone = this.alone.filter((other) => other !== request);
    const behind = new Set<Request>();
    for (const key of request.keys ?? []) {
      const queue = this.queues.get(key)!;
      queue.splice(queue.indexOf(request), 1);
      if (queue.length === 0) this.queues.delete(key);
      for (const next of queue) behind.add(next);
    }
    for (const next of hadAlone ? this.open : behind) {
      if (next.begin === undefined || !this.mayBegin(next)) continue;
      const { begin } = next;
      next.begin = undefined;
      begin();
    }
  }
}
