/** What a command sees of the client that sent it: state of the connection that commands read, and change through methods. */
import type { Millis } from '../../../platform/index.ts';
import type { Scope } from '../messages/index.ts';
import type { Reply } from '../protocol/index.ts';
import type { ConnectedClient, TrackingView } from './connected-client.ts';
import type { ServerContext } from './server-context.ts';
import type { Identity } from './users.ts';

/** MULTI, EXEC, DISCARD and WATCH of one client. */
export interface TransactionControl {
  readonly isOpen: boolean;
  /** The present command is one of a transaction. */
  readonly isExecuting: boolean;
  /** MULTI. @throws RedisError when one is open */
  begin(): void;
  /** EXEC: one operation for all data commands. @throws RedisError when there is none, or one that was refused */
  exec(): Reply | Promise<Reply>;
  /** DISCARD: forgets the queue and the watched keys. */
  discard(): void;
  /** WATCH: remembers the versions of keys. @throws RedisError CROSSSLOT when they belong to different groups and must not */
  watch(userKeys: readonly Buffer[]): Promise<void>;
  unwatch(): void;
}

/** What one client listens to. */
export interface SubscriptionControl {
  count(scope: Scope): number;
  of(scope: Scope): Buffer[];
  /** @throws RedisError when the node has no room to remember so much; the client then listens to none of it */
  checkRoom(names: readonly Buffer[]): void;
  /** @param after place of the reply that says so: no message comes before it */
  add(scope: Scope, name: Buffer, after: number): void;
  remove(scope: Scope, name: Buffer): void;
}

/** What CLIENT TRACKING ON may say. */
export interface TrackingOptions {
  /** Number of the client that is told in its place; 0: it is told itself. */
  readonly redirect: number;
  /** It is told of all keys that its prefixes fit. */
  readonly isBroadcast: boolean;
  /** It says by CLIENT CACHING what is kept, or what is not; undefined: it keeps all that it reads. */
  readonly choice: 'optin' | 'optout' | undefined;
  /** It does not want to hear of what it changes itself. */
  readonly isQuiet: boolean;
}

/** CLIENT TRACKING of one client. */
export interface TrackingControl extends TrackingView {
  /** As CLIENT TRACKINGINFO has them. */
  readonly flags: string[];
  prefixList(): Buffer[];
  /** @returns settles when all nodes tell of changes; undefined: they do. @throws RedisError when it is not compatible with what was said before */
  switchOn(options: TrackingOptions, prefixes: readonly Buffer[]): Promise<void> | undefined;
  /** @throws RedisError when it is told of prefixes and should not be, or the other way round */
  checkMode(isBroadcast: boolean): void;
  switchOff(): void;
  /** CLIENT CACHING. @throws RedisError when that was not chosen */
  cacheNext(isYes: boolean): void;
  /** What comes up to a reply may not be kept. @param place of the reply */
  forgetFrom(place: number): void;
}

export interface ClientSession extends ConnectedClient {
  readonly server: ServerContext;
  readonly multi: TransactionControl;
  readonly subscriptions: SubscriptionControl;
  readonly tracking: TrackingControl;
  /** It listens, and speaks RESP2: it could not tell most replies from messages. */
  readonly isListening: boolean;
  /** READONLY is on. */
  readonly readOnly: boolean;
  /** See `setRedirects`. */
  readonly redirects: boolean;
  /** Place of the present command's reply among all replies of the connection, rising. */
  readonly replyPlace: number;
  /** The address that the client has connected to. */
  readonly localHost: string;
  /** The client came in through the port for cluster clients. */
  readonly isClusterPort: boolean;
  /** True when the client is told that this is a cluster. */
  readonly isClusterMode: boolean;
  /** Selects a database that exists. */
  select(db: number): void;
  /** Replies from the present one on are of this protocol version. */
  useProtocol(version: 2 | 3): void;
  /** The client has come in as a user. */
  authenticated(identity: Identity): void;
  /** Notes in ACL LOG that the client was not let in. @param command as the client wrote it */
  noteDenial(reason: 'auth', command: Buffer, userName: string): void;
  setName(name: string): void;
  setLibrary(part: 'name' | 'version', text: string): void;
  setNoEvict(isOn: boolean): void;
  setNoTouch(isOn: boolean): void;
  /** MONITOR: from now on the client is shown all commands, and may not use keys. */
  startMonitoring(): void;
  /** CLIENT REPLY; `skip` leaves out the reply of the next command. */
  setReplyMode(mode: 'on' | 'off' | 'skip'): void;
  /** Answers MOVED for slots that other nodes lead, as Redis Cluster does, instead of forwarding. */
  setRedirects(isOn: boolean): void;
  /** READONLY and READWRITE: replicas of this node answer reads, or do not. */
  readReplicas(isOn: boolean): void;
  /** Bounds the age of what replicas answer from now on. */
  setStaleness(ms: Millis): void;
  /** RESET: as after connecting. */
  reset(): void;
}
