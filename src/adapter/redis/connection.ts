/**
 * One client: reads commands, starts them, and writes their replies in request order. Data commands of a pipeline are all
 * started at once; commands that look at the whole cluster or change the connection asynchronously hold back what follows.
 */
import type { GroupId, Millis } from '../../platform/index.ts';
import type { ClientStream } from './client-stream.ts';
import { arityAccepts } from './command.ts';
import type { ResolvedCommand } from './command-table.ts';
import { errorText } from './errors.ts';
import { GroupLane, type LaneOwner } from './group-lane.ts';
import {
  CommandRequest,
  decodeVersions,
  FlushRequest,
  type GroupRequest,
  TransactionRequest,
  type WatchedKey,
  WatchRequest,
} from './group-request.ts';
import { KEYSPACES, type KeyRange } from './keyspace.ts';
import { EncodedReply, ErrorReply, errors, NIL_ARRAY, QUEUED, RedisError, type Reply } from './reply.ts';
import { splitArrayReply } from './reply-reader.ts';
import { ReplyRing } from './reply-ring.ts';
import { ProtocolError, RespParser } from './resp-parser.ts';
import { crossGroup, routeOf } from './routing.ts';
import { ClusterScan } from './scan-context.ts';
import type { ServerState } from './server-state.ts';
import { Transaction } from './transaction.ts';
import { unknownCommandText, unknownSubcommandText } from './unknown-command.ts';

/** WATCH reads again when a version could still change under the same timestamp; a busy key needs a few turns at most. */
const WATCH_ATTEMPTS = 64;
/** Commands that run inside MULTI instead of being queued. */
const NOT_QUEUED: ReadonlySet<string> = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);

type Outcome = (error: Error | undefined, reply: Reply | undefined) => void;

export class Connection implements LaneOwner {
  readonly id: number;
  readonly server: ServerState;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly connectedMs: Millis;
  /** Selected database. */
  db = 0;
  /** Protocol version of replies. */
  resp: 2 | 3 = 2;
  name = '';
  libName = '';
  libVersion = '';
  /** `skipNext` becomes `skip` with the next command, and `on` after it. */
  replyMode: 'on' | 'off' | 'skip' | 'skipNext' = 'on';
  noEvict = false;
  noTouch = false;
  transaction: Transaction | undefined;
  lastCommandMs: Millis;
  /** Full name of the last command, for CLIENT LIST. */
  lastCommand = 'NULL';
  private readonly socket: ClientStream;
  private readonly parser: RespParser;
  private readonly ring = new ReplyRing();
  private readonly lanes = new Map<GroupId, GroupLane>();
  private watched: WatchedKey[] = [];
  private watchedGroup: GroupId | undefined;
  /** Where the outcomes of requests go that are not one command's reply, by negative token. */
  private readonly outcomes = new Map<number, Outcome>();
  private lastOutcome = 0;
  /** Name buffer of the last command and what it resolved to: pipelines repeat themselves. */
  private cachedName: Buffer | undefined;
  private cachedCommand: ResolvedCommand | undefined;
  /** A command whose start waits: for everything before it, or for the end of CLIENT PAUSE. */
  private held: { readonly command: ResolvedCommand; readonly args: readonly Buffer[] } | undefined;
  /** An asynchronous command runs; nothing is started before it is done. */
  private occupied = false;
  /** Set by EXEC when nothing after it depends on its outcome. */
  private detached = false;
  /** No more commands are read; closed when the replies so far are written. */
  private closing = false;
  private closed = false;
  /** The client has sent its last byte; what it sent is still answered. */
  private inputEnded = false;
  private flushScheduled = false;
  private readingPaused = false;

  constructor(server: ServerState, socket: ClientStream) {
    this.server = server;
    this.socket = socket;
    this.id = server.nextClientId();
    const nowMs = server.clock.monotonicMs();
    this.connectedMs = nowMs;
    this.lastCommandMs = nowMs;
    this.remoteAddress = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? '?'}:${socket.localPort ?? 0}`;
    const { config } = server;
    this.parser = new RespParser({
      lineBytes: config.maxInlineBytes,
      bulkBytes: config.maxBulkBytes,
      argumentCount: config.maxArguments,
      commandBytes: config.maxCommandBytes,
    });
    socket.on('data', (chunk) => this.received(chunk));
    socket.on('drain', () => this.pump());
    socket.on('end', () => {
      this.inputEnded = true;
      this.pump();
    });
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
  }

  /** Bytes received that are not part of a started command. */
  get queryBufferBytes(): number {
    return this.parser.bufferedBytes;
  }

  /** Reply bytes that the client has not taken. */
  get unreadReplyBytes(): number {
    return this.socket.writableLength;
  }

  /** Commands whose reply was not written. */
  get pendingReplies(): number {
    return this.ring.length;
  }

  get watchedCount(): number {
    return this.watched.length;
  }

  /** Ends the connection once the replies of the commands so far are written. */
  closeAfterReplies(): void {
    this.closing = true;
    this.scheduleFlush();
  }

  /** Ends the connection now. */
  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    this.closing = true;
    this.held = undefined;
    this.server.connections.delete(this.id);
    this.socket.destroy();
  }

  /** Starts what waits for the end of CLIENT PAUSE. */
  resumeFromPause(): void {
    this.pump();
  }

  private received(chunk: Buffer): void {
    if (this.closing) return;
    this.server.stats.inputBytes += chunk.length;
    this.parser.push(chunk);
    this.pump();
  }

  /** Starts commands as long as nothing holds them back, and reads from the socket only then. */
  private pump(): void {
    while (this.mayStart()) {
      const { held } = this;
      if (held !== undefined) {
        this.held = undefined;
        this.start(held.command, held.args);
        if (this.held !== undefined) break;
        continue;
      }
      let args: Buffer[] | undefined;
      try {
        args = this.parser.next();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.refuse(`ERR Protocol error: ${error.message}`);
        this.closeAfterReplies();
        return;
      }
      if (args === undefined) {
        this.setReading(true);
        if (this.inputEnded) this.closeAfterReplies();
        return;
      }
      this.dispatch(args);
    }
    this.setReading(false);
  }

  private mayStart(): boolean {
    const { config } = this.server;
    return (
      !this.occupied &&
      !this.closing &&
      this.ring.length < config.maxPipelinedCommands &&
      this.socket.writableLength + this.ring.readyBytes < config.maxUnreadReplyBytes
    );
  }

  private setReading(reading: boolean): void {
    if (this.readingPaused !== reading) return;
    this.readingPaused = !reading;
    if (reading) this.socket.resume();
    else this.socket.pause();
  }

  private dispatch(args: readonly Buffer[]): void {
    const name = args[0]!;
    let command = this.cachedCommand;
    if (name !== this.cachedName) {
      command = this.server.table.find(name);
      this.cachedName = name;
      this.cachedCommand = command;
    }
    if (command === undefined) {
      this.refuse(unknownCommandText(args));
      return;
    }
    if (command.subcommands !== undefined && args.length > 1) {
      const sub = command.subcommands.get(args[1]!.toString('latin1').toLowerCase());
      if (sub === undefined) {
        this.refuse(unknownSubcommandText(command.fullName, args[1]!));
        return;
      }
      command = sub;
    }
    if (!arityAccepts(command.spec.arity, args.length) || command.spec.handler === undefined) {
      const { message } = errors.wrongArity(command.fullName);
      if (command.spec.name === 'exec') this.abortTransaction(message);
      else this.refuse(message);
      return;
    }
    this.start(command, args);
  }

  /** Refuses a command before it runs; inside MULTI the transaction is lost. */
  private refuse(text: string): void {
    if (this.transaction !== undefined) this.transaction.refused = true;
    this.settle(this.reserve(), new ErrorReply(text));
  }

  /** An EXEC that is refused ends the transaction and forgets the watched keys, as in Redis. */
  private abortTransaction(text: string): void {
    this.discardTransaction();
    const reason = text.replace(/^ERR /, '');
    this.settle(this.reserve(), new ErrorReply(`EXECABORT Transaction discarded because of: ${reason}`));
  }

  private start(command: ResolvedCommand, args: readonly Buffer[]): void {
    const { server } = this;
    const { spec } = command;
    const queued = this.transaction !== undefined && !NOT_QUEUED.has(spec.name);
    if (server.pause !== undefined && !queued && this.heldByPause(command, args)) return;
    const handler = spec.handler!;
    if (handler.kind === 'scan' && !queued && this.ring.unsettled > 0) {
      // It looks at applied state, so everything before it must be applied first.
      this.held = { command, args };
      return;
    }
    server.stats.commandsProcessed++;
    this.lastCommand = command.fullName;
    this.lastCommandMs = server.clock.monotonicMs();
    if (queued) this.enqueue(command, args);
    else if (handler.kind === 'data') this.startData(command, args);
    else this.startOther(command, args);
    if (this.replyMode === 'skip') this.replyMode = 'on';
    else if (this.replyMode === 'skipNext') this.replyMode = 'skip';
  }

  private heldByPause(command: ResolvedCommand, args: readonly Buffer[]): boolean {
    const writes =
      command.spec.flags.includes('write') ||
      (command.spec.name === 'exec' &&
        this.transaction?.data().some(({ spec }) => spec.flags.includes('write')) === true);
    const pause = this.server.activePause(writes);
    if (pause === undefined) return false;
    this.held = { command, args };
    const remainingMs = Math.max(1, pause.untilMs - this.server.clock.monotonicMs());
    this.server.scheduler.after(remainingMs, () => this.resumeFromPause());
    return true;
  }

  private startData(command: ResolvedCommand, args: readonly Buffer[]): void {
    const slot = this.reserve();
    try {
      const route = routeOf(this.server.kv, command.spec, args, this.db);
      const lane = this.laneOf(route.group ?? this.server.kv.dataGroups()[0]!);
      lane.submit(
        new CommandRequest(
          command.spec,
          args,
          this.db,
          this.resp,
          this.server.settings,
          lane,
          slot,
          route.firstKey,
          route.firstStorageKey,
        ),
      );
    } catch (error) {
      this.settleError(slot, error, false);
    }
  }

  private startOther(command: ResolvedCommand, args: readonly Buffer[]): void {
    const slot = this.reserve();
    this.detached = false;
    let result: Reply | Promise<Reply>;
    try {
      result = this.runOther(command, args);
    } catch (error) {
      this.settleError(slot, error, false);
      return;
    }
    if (!(result instanceof Promise)) {
      this.ring.setVersion(slot, this.resp, this.isSilent());
      this.settle(slot, result);
      return;
    }
    const occupies = !this.detached;
    if (occupies) this.occupied = true;
    const isWrite = command.spec.flags.includes('write') || command.spec.name === 'exec';
    const done = () => {
      if (!occupies) return;
      this.occupied = false;
      this.scheduleFlush();
    };
    result.then(
      (reply) => {
        this.settle(slot, reply);
        done();
      },
      (error: unknown) => {
        this.settleError(slot, error, isWrite);
        done();
      },
    );
  }

  private runOther(command: ResolvedCommand, args: readonly Buffer[]): Reply | Promise<Reply> {
    const handler = command.spec.handler!;
    if (handler.kind === 'connection') return handler.run(this, args);
    if (handler.kind === 'scan') return handler.run(new ClusterScan(this.server, this), args);
    throw new RedisError(`ERR ${command.fullName} cannot run here`);
  }

  private laneOf(group: GroupId): GroupLane {
    let lane = this.lanes.get(group);
    if (lane === undefined) {
      lane = new GroupLane(group, this.server, this);
      this.lanes.set(group, lane);
    }
    return lane;
  }

  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    if (request.token < 0) {
      const outcome = this.outcomes.get(request.token)!;
      this.outcomes.delete(request.token);
      outcome(error, reply);
    } else if (error !== undefined) {
      this.settleError(request.token, error, request.isWrite);
    } else {
      this.settle(request.token, reply ?? null);
    }
  }

  /** Registers where the outcome of a request goes; the result is the request's token. */
  private outcomeToken(outcome: Outcome): number {
    const token = --this.lastOutcome;
    this.outcomes.set(token, outcome);
    return token;
  }

  private isSilent(): boolean {
    return this.replyMode === 'off' || this.replyMode === 'skip';
  }

  private reserve(): number {
    return this.ring.reserve(this.resp, this.isSilent());
  }

  private settleError(slot: number, error: unknown, isWrite: boolean): void {
    this.server.unexpected(error);
    this.settle(slot, new ErrorReply(errorText(error, isWrite)));
  }

  private settle(slot: number, reply: Reply): void {
    if (reply instanceof ErrorReply || (reply instanceof EncodedReply && reply.bytes[0] === 0x2d)) {
      this.server.stats.errorReplies++;
    }
    if (this.ring.settle(slot, reply)) this.scheduleFlush();
  }

  private scheduleFlush(): void {
    if (this.flushScheduled || this.closed) return;
    this.flushScheduled = true;
    this.server.scheduleFlush(this);
  }

  /** Writes the replies that are ready in one go; called by the server at the end of a turn's callbacks. */
  flush(): void {
    this.flushScheduled = false;
    if (this.closed) return;
    if (this.ring.hasWritable) this.write();
    if (this.closing && this.ring.length === 0) {
      this.socket.end();
      return;
    }
    if (this.readingPaused || this.held !== undefined) this.pump();
  }

  private write(): void {
    const { writer, stats } = this.server;
    this.ring.writeTo(writer);
    stats.outputBytes += writer.pendingBytes;
    const segments = writer.take();
    if (segments.length === 1) {
      this.socket.write(segments[0]!);
    } else if (segments.length > 1) {
      this.socket.cork();
      for (const segment of segments) this.socket.write(segment);
      this.socket.uncork();
    }
  }

  // --- MULTI, EXEC, WATCH -------------------------------------------------------------------------------------------

  /** Queues a command of a transaction. */
  private enqueue(command: ResolvedCommand, args: readonly Buffer[]): void {
    const transaction = this.transaction!;
    const { spec } = command;
    try {
      if (spec.flags.includes('no_multi')) throw new RedisError('ERR Command not allowed inside a transaction');
      const handler = spec.handler!;
      if (handler.kind === 'scan') {
        throw new RedisError(`ERR ${command.fullName} spans all groups and cannot be part of a transaction`);
      }
      if (handler.kind === 'data') {
        const { group } = routeOf(this.server.kv, spec, args, transaction.db);
        if (group !== undefined) {
          if ((transaction.group ?? this.watchedGroup ?? group) !== group) throw crossGroup();
          transaction.group = group;
        }
        transaction.queue.push({ kind: 'data', data: { spec, args, db: transaction.db } });
      } else {
        transaction.queue.push({ kind: 'connection', command, args });
        if (spec.name === 'select') transaction.db = KEYSPACES[Number(args[1])]?.db ?? transaction.db;
      }
      this.settle(this.reserve(), QUEUED);
    } catch (error) {
      transaction.refused = true;
      this.settleError(this.reserve(), error, false);
    }
  }

  /** MULTI. @throws RedisError when one is open */
  beginTransaction(): void {
    if (this.transaction !== undefined) throw new RedisError('ERR MULTI calls can not be nested');
    this.transaction = new Transaction(this.db);
  }

  /** DISCARD, and part of RESET: forgets the queue and the watched keys. */
  discardTransaction(): void {
    this.transaction = undefined;
    this.unwatch();
  }

  unwatch(): void {
    this.watched = [];
    this.watchedGroup = undefined;
  }

  /** EXEC: one operation for all data commands of the transaction. */
  exec(): Reply | Promise<Reply> {
    const { transaction, watched, watchedGroup } = this;
    if (transaction === undefined) throw new RedisError('ERR EXEC without MULTI');
    this.discardTransaction();
    if (transaction.refused) {
      throw new RedisError('EXECABORT Transaction discarded because of previous errors.');
    }
    if (transaction.queue.length === 0 && watched.length === 0) return [];
    const commands = transaction.data();
    const group = transaction.group ?? watchedGroup ?? this.server.kv.dataGroups()[0]!;
    const lane = this.laneOf(group);
    const onlyData = commands.length === transaction.queue.length;
    this.detached = onlyData;
    const replies = new Promise<Reply>((resolve, reject) => {
      const token = this.outcomeToken((error, reply) => (error === undefined ? resolve(reply ?? null) : reject(error)));
      lane.submit(new TransactionRequest(watched, commands, this.resp, this.server.settings, lane, token));
    });
    return onlyData ? replies : replies.then((reply) => this.finishMixed(transaction, reply));
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
      try {
        replies.push(await this.runOther(queued.command, queued.args));
      } catch (error) {
        this.server.unexpected(error);
        replies.push(new ErrorReply(errorText(error, true)));
      }
    }
    return replies;
  }

  /** WATCH: remembers the versions of keys. @throws RedisError CROSSSLOT when watched keys belong to different groups */
  async watch(userKeys: readonly Buffer[]): Promise<void> {
    const keyspace = KEYSPACES[this.db]!;
    const storageKeys = userKeys.map((key) => keyspace.storageKey(key));
    const groups = new Set(storageKeys.map((key) => this.server.kv.groupOf(key)));
    if (this.watchedGroup !== undefined) groups.add(this.watchedGroup);
    if (groups.size > 1) throw crossGroup();
    const [group] = groups;
    for (let attempt = 0; attempt < WATCH_ATTEMPTS; attempt++) {
      const { ambiguous, versions } = decodeVersions(await this.readVersions(group!, storageKeys));
      if (ambiguous) {
        await new Promise<void>((resolve) => this.server.scheduler.endOfTurn(resolve));
        continue;
      }
      this.watchedGroup = group;
      storageKeys.forEach((storageKey, index) => {
        if (this.watched.every((watched) => !watched.storageKey.equals(storageKey))) {
          this.watched.push({ storageKey, version: versions[index]! });
        }
      });
      return;
    }
    throw new RedisError('TRYAGAIN the watched keys are being written all the time, try again');
  }

  private readVersions(group: GroupId, storageKeys: readonly Buffer[]): Promise<Reply> {
    const lane = this.laneOf(group);
    return new Promise((resolve, reject) => {
      const token = this.outcomeToken((error, reply) => (error === undefined ? resolve(reply ?? null) : reject(error)));
      lane.submit(new WatchRequest(storageKeys, this.resp, this.server.settings, lane, token));
    });
  }

  /** Deletes a range of one group, after everything that this connection has asked of that group. */
  flushGroup(group: GroupId, range: KeyRange): Promise<void> {
    const lane = this.laneOf(group);
    return new Promise((resolve, reject) => {
      const token = this.outcomeToken((error) => (error === undefined ? resolve() : reject(error)));
      lane.submit(new FlushRequest(range, this.resp, this.server.settings, lane, token));
    });
  }
}
