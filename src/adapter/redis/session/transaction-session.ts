/**
 * MULTI, EXEC, DISCARD and WATCH of one connection. The data commands of a transaction are queued here and evaluated together,
 * under the condition that the watched keys have the versions that WATCH read: as one operation on the group that has all of
 * the keys, or as a transaction across their groups.
 */
import type { ReadPin } from '../../../kv/index.ts';
import { earlierBy, type GroupId, type Millis } from '../../../platform/index.ts';
import { type CommandSpec, mayWrite, type ResolvedCommand, type TransactionControl } from '../command/index.ts';
import { DATABASE_COUNT, KEYSPACES } from '../keys/index.ts';
import {
  ErrorReply,
  errorText,
  errorTextIn,
  NIL_ARRAY,
  parseInteger,
  RedisError,
  type Reply,
  splitArrayReply,
} from '../protocol/index.ts';
import {
  alone,
  anyGroup,
  commonGroup,
  crossGroup,
  decodeVersions,
  type GroupRequest,
  type RedirectedClient,
  type RequestOwner,
  redirectElsewhere,
  refuseFoundElsewhere,
  routeOf,
  storageKeysOf,
  TransactionRequest,
  type WatchedKey,
  WatchRequest,
} from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import type { ClientAccess } from './access.ts';
import type { ClientTracking } from './client-tracking.ts';
import { Transaction } from './transaction.ts';

/** WATCH reads again when a version could still change under the same timestamp; a busy key needs a few turns at most. */
const WATCH_ATTEMPTS = 64;

/**
 * Deletes of watched keys are remembered for as long as this, so that EXEC sees that a key has come and gone; and from so long before WATCH on, since
 * the group's clock may be behind this node's.
 */
const WATCHED_MS: Millis = 30 * 60_000;
const WATCH_MARGIN_MS: Millis = 2_000;

/** WATCH is redirected like a command that reads. */
const WATCH = { flags: ['readonly'] } as const;

/** The database that a SELECT leads to; undefined when it is going to be refused. There are more keyspaces than clients may select. */
function databaseIn(argument: Buffer): number | undefined {
  const db = parseInteger(argument);
  return db !== undefined && db >= 0n && db < BigInt(DATABASE_COUNT) ? Number(db) : undefined;
}

/** What a transaction needs to know of its client. */
export interface TransactionClient extends RedirectedClient {
  readonly server: ServerState;
  readonly db: number;
  readonly resp: 2 | 3;
  readonly redirects: boolean;
  /** Keys of several groups are no reason to refuse. */
  mayCross(storageKeys: () => readonly Buffer[]): boolean;
  /** Shows a command to those who watch. @param db left out: the selected one */
  show(spec: CommandSpec, args: readonly Buffer[], db?: number): void;
  readonly access: ClientAccess;
  readonly tracking: ClientTracking;
}

/** What runs a transaction's parts, in order with everything else of the connection. */
export interface TransactionHost {
  /** Slot of the reply of the command that is being run. */
  readonly newestReply: number;
  /** Nothing that follows depends on the outcome of the command that is being run. */
  detach(): void;
  /** Has what is ready written at the end of the present callbacks. */
  scheduleFlush(): void;
  runAcross(request: GroupRequest): Promise<Reply>;
  ask(group: GroupId, make: (owner: RequestOwner, token: number) => GroupRequest): Promise<Reply>;
  runOther(command: ResolvedCommand, args: readonly Buffer[]): Reply | Promise<Reply>;
}

const REASONS = {
  command: 'no permission to execute the command or subcommand',
  key: 'no permission to touch the specified keys',
  channel: 'no permission to access one of the channels used as argument to the command',
} as const;

const refusedAtExec = (reason: keyof typeof REASONS): string =>
  'NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed ' +
  `for the following reason: ${REASONS[reason]}`;

/** The open transaction and the watched keys of a connection. */
export class TransactionSession implements TransactionControl {
  private readonly client: TransactionClient;
  private readonly host: TransactionHost;
  private open: Transaction | undefined;
  /** Slot of the MULTI that opened it. */
  private openedAt = 0;
  /** Slot of the MULTI whose EXEC is under way, of several the first. */
  private executing: number | undefined;
  private watched: WatchedKey[] = [];
  /** Held while keys are watched. */
  private pin: ReadPin | undefined;
  /** Commands that concern the connection run as part of EXEC. */
  isExecuting = false;
  /** A key could not be watched, so nobody knows what the next EXEC would be computed from. */
  private isBlind = false;

  constructor(client: TransactionClient, host: TransactionHost) {
    this.client = client;
    this.host = host;
  }

  get isOpen(): boolean {
    return this.open !== undefined;
  }

  /** Keys are watched for a transaction, or one is open: both would be lost with the connection. */
  get hasBegun(): boolean {
    return this.isOpen || this.watched.length > 0;
  }

  /** Commands that wait for EXEC; undefined outside MULTI. */
  get queuedCommands(): number | undefined {
    return this.open?.queue.length;
  }

  begin(): void {
    if (this.open !== undefined) throw new RedisError('ERR MULTI calls can not be nested');
    this.open = new Transaction(this.client.db);
    this.openedAt = this.host.newestReply;
  }

  /**
   * True when nothing but "OK" and "QUEUED" of a transaction whose EXEC is under way could be written: its client has sent it
   * as a whole and is served better by one packet.
   * @param oldest slot of the oldest reply that was not written
   */
  holdsReplies(oldest: number): boolean {
    return this.executing !== undefined && oldest >= this.executing;
  }

  private execute(openedAt: number, replies: Promise<Reply>): Promise<Reply> {
    if (this.executing !== undefined) return replies;
    this.executing = openedAt;
    const done = (): void => {
      this.executing = undefined;
      this.host.scheduleFlush();
    };
    replies.then(done, done);
    return replies;
  }

  /** A command could not be queued: EXEC will abort. Outside a transaction nothing happens. */
  refuse(): void {
    if (this.open !== undefined) this.open.refused = true;
  }

  discard(): void {
    this.open = undefined;
    this.unwatch();
  }

  unwatch(): void {
    this.pin?.release();
    this.pin = undefined;
    this.watched = [];
    this.isBlind = false;
  }

  /** Queues a command. @throws RedisError when it cannot be part of the transaction */
  enqueue(command: ResolvedCommand, args: readonly Buffer[]): void {
    const transaction = this.open!;
    const { spec } = command;
    if (spec.flags.includes('no_multi')) throw new RedisError('ERR Command not allowed inside a transaction');
    if (spec.name === 'hello' && args.length > 1) {
      // All replies of EXEC are of one protocol version, wherever they were encoded.
      throw new RedisError('ERR HELLO with a protocol version is not allowed inside a transaction');
    }
    const handler = spec.handler!;
    if (handler.kind === 'scan') {
      throw new RedisError(`ERR ${command.fullName} spans all groups and cannot be part of a transaction`);
    }
    if (handler.kind === 'data') {
      const { kv } = this.client.server;
      const route = routeOf(kv, spec, args, transaction.db);
      if (this.client.redirects) {
        redirectElsewhere(this.client, spec, transaction.db, route.firstKey);
        refuseFoundElsewhere(spec, args, route.firstKey);
      }
      if (route.firstStorageKey !== undefined) {
        // Where the first key was when it was queued does not matter: it may have moved since.
        const first = transaction.firstStorageKey ?? this.watched[0]?.storageKey;
        const crosses = route.crosses || (first !== undefined && kv.groupOf(first) !== route.group);
        const keys = (): Buffer[] => [
          ...(first === undefined ? [] : [first]),
          ...storageKeysOf([{ spec, args, db: transaction.db }]),
        ];
        if (crosses && !this.client.mayCross(keys)) throw crossGroup();
        transaction.firstStorageKey ??= route.firstStorageKey;
      }
      transaction.add({
        kind: 'data',
        data: { ...this.client.server.atIngress(spec, args), given: args, db: transaction.db },
      });
    } else {
      transaction.add({ kind: 'connection', command, args });
      if (spec.name === 'select') transaction.db = databaseIn(args[1]!) ?? transaction.db;
    }
  }

  /** True when a command of the open transaction may write. */
  writes(): boolean {
    return this.open?.data().some(({ spec, args }) => mayWrite(spec, args)) === true;
  }

  /** True when EXEC will run on several groups, so that nothing else of the connection may be under way. */
  runsAcross(): boolean {
    const { kv } = this.client.server;
    if (this.open === undefined || kv.dataGroups().length <= 1) return false;
    const storageKeys = this.storageKeys(this.open, this.watched);
    return commonGroup(kv, storageKeys, this.open.data()) === 'several' && this.client.mayCross(() => storageKeys);
  }

  private storageKeys(transaction: Transaction, watched: readonly WatchedKey[]): readonly Buffer[] {
    if (watched.length === 0) return transaction.storageKeys();
    return [...watched.map(({ storageKey }) => storageKey), ...transaction.storageKeys()];
  }

  exec(): Reply | Promise<Reply> {
    const { pin } = this;
    if (pin === undefined) return this.run();
    // What is watched is compared where the keys are.
    this.pin = undefined;
    let replies: Reply | Promise<Reply>;
    try {
      replies = this.run();
    } catch (error) {
      pin.release();
      throw error;
    }
    if (replies instanceof Promise) return replies.finally(() => pin.release());
    pin.release();
    return replies;
  }

  private run(): Reply | Promise<Reply> {
    const { open: transaction, watched, isBlind } = this;
    const { server, resp } = this.client;
    if (transaction === undefined) throw new RedisError('ERR EXEC without MULTI');
    this.discard();
    if (transaction.refused) {
      throw new RedisError('EXECABORT Transaction discarded because of previous errors.');
    }
    if (isBlind) throw new RedisError('EXECABORT Transaction discarded because a key could not be watched.');
    if (transaction.queue.length === 0 && watched.length === 0) return [];
    this.refuseDenied(transaction);
    for (const queued of transaction.queue) {
      if (queued.kind === 'refused') continue;
      if (queued.kind === 'connection') this.client.show(queued.command.spec, queued.args);
      else this.client.show(queued.data.spec, queued.data.given ?? queued.data.args, queued.data.db);
    }
    const commands = transaction.data();
    const storageKeys = this.storageKeys(transaction, watched);
    const group = commonGroup(server.kv, storageKeys, commands) ?? anyGroup(server.kv);
    const { access, tracking } = this.client;
    const settings = tracking.settingsFor(access.settingsFor(commands));
    const requestOf = (owner: RequestOwner, token: number) =>
      new TransactionRequest(watched, commands, { resp, settings, owner, token });
    if (group === 'several' && !this.client.mayCross(() => storageKeys)) throw crossGroup();
    tracking.readsAll(() => transaction.all(), this.host.newestReply);
    const asked = group === 'several' ? this.host.runAcross(requestOf(alone(), 0)) : this.host.ask(group, requestOf);
    const replies = this.execute(this.openedAt, asked);
    if (commands.length < transaction.queue.length) {
      this.isExecuting = true;
      return replies
        .then((reply) => this.finishMixed(transaction, reply))
        .finally(() => {
          this.isExecuting = false;
          tracking.passed('exec', false);
        });
    }
    if (group !== 'several') this.host.detach();
    return replies;
  }

  /** What the client may do may have changed since a command was queued: such a command is answered with an error, and the others run. */
  private refuseDenied(transaction: Transaction): void {
    if (this.client.access.identity.user.isUnlimited) return;
    const denied = new Map<number, string>();
    for (const [at, queued] of transaction.queue.entries()) {
      if (queued.kind === 'refused') continue;
      const { args } = queued.kind === 'data' ? queued.data : queued;
      const command = this.client.server.table.resolve(args);
      const refusal = command && this.client.access.refusalOf(command, args, 'multi');
      if (refusal !== undefined) denied.set(at, refusedAtExec(refusal.reason));
    }
    transaction.deny(denied);
  }

  /** Runs the connection commands of a transaction whose data commands have succeeded, and puts all replies in order. */
  private async finishMixed(transaction: Transaction, dataReply: Reply): Promise<Reply> {
    const data = splitArrayReply(dataReply);
    if (data === undefined) return NIL_ARRAY;
    const replies: Reply[] = [];
    let nextData = 0;
    for (const queued of transaction.queue) {
      if (queued.kind === 'data') {
        replies.push(data[nextData++] ?? null);
        continue;
      }
      if (queued.kind === 'refused') {
        replies.push(new ErrorReply(queued.text));
        continue;
      }
      try {
        replies.push(await this.host.runOther(queued.command, queued.args));
      } catch (error) {
        this.client.server.unexpected(error);
        replies.push(new ErrorReply(errorText(error, true)));
      }
    }
    return replies;
  }

  async watch(userKeys: readonly Buffer[]): Promise<void> {
    const { server, db } = this.client;
    const keyspace = KEYSPACES[db]!;
    const storageKeys = userKeys.map((key) => keyspace.storageKey(key));
    if (this.client.redirects) redirectElsewhere(this.client, WATCH, db, userKeys[0]);
    const watched = this.watched.map(({ storageKey }) => storageKey);
    const all = [...storageKeys, ...watched];
    if (commonGroup(server.kv, all) === 'several' && !this.client.mayCross(() => all)) throw crossGroup();
    this.pin ??= server.pins?.hold(earlierBy(server.kv.nowTs(), WATCH_MARGIN_MS), 'watched keys', WATCHED_MS);
    const byGroup = Map.groupBy(storageKeys, (key) => server.kv.groupOf(key));
    let read: readonly WatchedKey[][];
    try {
      read = await Promise.all([...byGroup].map(([group, keys]) => this.readVersions(group, keys)));
    } catch (error) {
      this.isBlind = true;
      throw error;
    }
    for (const { storageKey, version } of read.flat()) {
      if (this.watched.every((one) => !one.storageKey.equals(storageKey))) this.watched.push({ storageKey, version });
    }
  }

  /** Versions of keys that one group has. */
  private async readVersions(group: GroupId, storageKeys: readonly Buffer[]): Promise<WatchedKey[]> {
    const { server, resp } = this.client;
    for (let attempt = 0; attempt < WATCH_ATTEMPTS; attempt++) {
      const now = commonGroup(server.kv, storageKeys);
      const reply = await this.host.ask(
        now === undefined || now === 'several' ? group : now,
        (owner, token) => new WatchRequest(storageKeys, { resp, settings: server.settings, owner, token }),
      );
      // The leader's own word for why it could not read versions.
      const refusal = errorTextIn(reply);
      if (refusal !== undefined) throw new RedisError(refusal);
      const { ambiguous, versions } = decodeVersions(reply);
      if (!ambiguous) return storageKeys.map((storageKey, index) => ({ storageKey, version: versions[index]! }));
      await new Promise<void>((resolve) => server.scheduler.endOfTurn(resolve));
    }
    throw new RedisError('TRYAGAIN the watched keys are being written all the time, try again');
  }
}
