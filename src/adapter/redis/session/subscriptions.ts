/** What one client listens to. */
import type { SubscriptionControl } from '../command/index.ts';
import { keyOf, type Messages, SCOPES, type Scope, type Subscriber } from '../messages/index.ts';
import { RedisError } from '../protocol/index.ts';

/** Commands that begin and end listening. Their replies are messages: they are sent also to a client that wants no replies. */
const SUBSCRIBING: ReadonlySet<string> = new Set([
  ...['subscribe', 'psubscribe', 'ssubscribe'],
  ...['unsubscribe', 'punsubscribe', 'sunsubscribe'],
]);
/** What a client of RESP2 may send while it listens: it could not tell other replies from messages. */
const ALLOWED: ReadonlySet<string> = new Set([...SUBSCRIBING, 'ping', 'quit', 'reset']);

/** True when the reply of a command is a message. */
export const repliesByMessage = (name: string): boolean => SUBSCRIBING.has(name);

/** The text of the error for what a client of RESP2 may not send while it listens; undefined when it may. */
export const refusalWhileListening = (name: string, fullName: string): string | undefined =>
  ALLOWED.has(name)
    ? undefined
    : `ERR Can't execute '${fullName}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;

type Names = Readonly<Record<Scope, Map<string, Buffer>>>;

/** See the top of the file. */
export class Subscriptions implements SubscriptionControl {
  private readonly messages: Messages;
  private readonly client: Subscriber;
  /** Undefined as long as the client has never listened. */
  private names: Names | undefined;

  constructor(messages: Messages, client: Subscriber) {
    this.messages = messages;
    this.client = client;
  }

  /** It listens to something. */
  get isActive(): boolean {
    const { names } = this;
    return names !== undefined && SCOPES.some((scope) => names[scope].size > 0);
  }

  count(scope: Scope): number {
    return this.names?.[scope].size ?? 0;
  }

  of(scope: Scope): Buffer[] {
    return [...(this.names?.[scope].values() ?? [])];
  }

  checkRoom(names: readonly Buffer[]): void {
    if (!this.messages.hasRoomFor(names)) throw new RedisError('ERR clients of this node listen to too much already');
  }

  add(scope: Scope, name: Buffer, after: number): void {
    this.names ??= { channel: new Map(), pattern: new Map(), shard: new Map() };
    const key = keyOf(name);
    if (this.names[scope].has(key)) return;
    const kept = Buffer.from(name);
    this.names[scope].set(key, kept);
    this.messages.subscribe(scope, kept, this.client, after);
  }

  remove(scope: Scope, name: Buffer): void {
    const key = keyOf(name);
    if (this.names?.[scope].delete(key) === true) this.messages.unsubscribe(scope, key, this.client);
  }

  /** It listens to nothing any more. */
  clear(): void {
    const { names } = this;
    this.names = undefined;
    if (names === undefined) return;
    for (const scope of SCOPES) {
      for (const key of names[scope].keys()) this.messages.unsubscribe(scope, key, this.client);
    }
  }
}
