/**
 * One client: reads commands, starts them, and writes their replies in request order. Data commands of a pipeline are all
 * started at once; commands that look at the whole cluster or change the connection asynchronously hold back what follows.
 */
import { type GroupId, KvorumError, type Millis } from '../../platform/index.ts';
import { AskedRequests } from './asked-requests.ts';
import { type ClientStream, writeSegments } from './client-stream.ts';
import { arityAccepts, type CommandSpec } from './command.ts';
import type { ResolvedCommand } from './command-table.ts';
import { alone, runAcross } from './cross-group.ts';
import { errorText } from './errors.ts';
import { GroupLane, type LaneOwner } from './group-lane.ts';
import { CommandRequest, type GroupRequest } from './group-request.ts';
import { redirectElsewhere } from './redirects.ts';
import { ReplicaReadMode } from './replica-reads.ts';
import { EncodedReply, ErrorReply, errors, QUEUED, RedisError, type Reply } from './reply.ts';
import { ReplyRing } from './reply-ring.ts';
import { Rerouting, type ReroutingHost } from './rerouting.ts';
import { ProtocolError, RespParser } from './resp-parser.ts';
import { anyGroup, crossGroup, type Route, routeOf } from './routing.ts';
import { ClusterScan } from './scan-context.ts';
import type { Pause, ServerState } from './server-state.ts';
import { TransactionSession } from './transaction-session.ts';
import { isHttp, unknownCommandReply, unknownSubcommandReply } from './unknown-command.ts';

/** Commands that run inside MULTI instead of being queued. */
const NOT_QUEUED: ReadonlySet<string> = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);

export class Connection implements LaneOwner, ReroutingHost {
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
  /** Answer MOVED for slots that other nodes lead, as Redis Cluster does, instead of forwarding. */
  redirects: boolean;
  /** READONLY: replicas of this node answer reads, and none is redirected. */
  readonly replicaReads: ReplicaReadMode;
  /** What the listener gave `redirects`, for RESET. */
  readonly redirectsByDefault: boolean;
  /** The client came in through the port for cluster clients. */
  readonly isClusterPort: boolean;
  /** False until the client has given a password, where one is asked for; as after RESET. */
  isAuthenticated: boolean;
  noEvict = false;
  noTouch = false;
  /** MULTI, EXEC, DISCARD and WATCH. */
  readonly multi: TransactionSession = new TransactionSession(this);
  lastCommandMs: Millis;
  /** When bytes last came in or went out. */
  private lastActiveMs: Millis;
  /** Full name of the last command, for CLIENT LIST. */
  lastCommand = 'NULL';
  private readonly socket: ClientStream;
  private readonly parser: RespParser;
  private readonly ring = new ReplyRing();
  private readonly lanes = new Map<GroupId, GroupLane>();
  /** What came back because its keys have moved, or its group's leader is another. */
  private readonly rerouting = new Rerouting(this);
  private lastOrder = 0;
  /** Version of the directory that everything under way was routed by. */
  private routedVersion = 0;
  private readonly asked = new AskedRequests();
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

  /** @param isClusterPort the client came in through the port for cluster clients */
  constructor(server: ServerState, socket: ClientStream, isClusterPort = false) {
    this.server = server;
    this.isClusterPort = isClusterPort;
    this.redirectsByDefault = isClusterPort || server.config.clusterRedirects;
    this.redirects = this.redirectsByDefault;
    this.replicaReads = new ReplicaReadMode(server.reads);
    this.socket = socket;
    this.isAuthenticated = server.passwords === undefined;
    this.id = server.nextClientId();
    const nowMs = server.clock.monotonicMs();
    this.connectedMs = nowMs;
    this.lastCommandMs = nowMs;
    this.lastActiveMs = nowMs;
    this.remoteAddress = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.localAddress = `${socket.localAddress ?? '?'}:${socket.localPort ?? 0}`;
    const { config } = server;
    this.parser = new RespParser({
      lineBytes: config.maxInlineBytes,
      bulkBytes: config.maxBulkBytes,
      argumentCount: config.maxArguments,
      commandBytes: config.maxCommandBytes,
      isTrusted: () => this.isAuthenticated,
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

  /** A command has not begun, because CLIENT PAUSE holds it. */
  get isPaused(): boolean {
    return this.held !== undefined && this.pauseFor(this.held.command) !== undefined;
  }

  /** True when nothing came in or went out since then and nothing is owed to the client. */
  isIdleSince(sinceMs: Millis): boolean {
    return this.lastActiveMs < sinceMs && this.ring.length === 0 && this.held === undefined;
  }

  /** The address that the client has connected to. */
  get localHost(): string {
    return this.socket.localAddress ?? '';
  }

  /** True when the client is told that this is a cluster. */
  get isClusterMode(): boolean {
    return this.isClusterPort || this.redirects;
  }

  /** Slot of the reply of the command that is being run. */
  get newestReply(): number {
    return this.ring.newest;
  }

  get readOnly(): boolean {
    return this.replicaReads.isOn;
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
    this.lastActiveMs = this.server.clock.monotonicMs();
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
        this.refuse(new ErrorReply(`ERR Protocol error: ${error.message}`));
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
      !this.rerouting.isActive &&
      this.ring.length < config.maxPipelinedCommands &&
      this.ring.underWayBytes < config.maxPipelinedBytes &&
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
      if (isHttp(name)) this.endAsHttp();
      else this.refuse(unknownCommandReply(args));
      return;
    }
    if (command.subcommands !== undefined && args.length > 1) {
      const sub = command.subcommands.get(args[1]!.toString('latin1').toLowerCase());
      if (sub === undefined) {
        this.refuse(unknownSubcommandReply(command.fullName, args[1]!));
        return;
      }
      command = sub;
    }
    if (!arityAccepts(command.spec.arity, args.length) || command.spec.handler === undefined) {
      const { message } = errors.wrongArity(command.fullName);
      this.reject(command, message);
      return;
    }
    if (!this.isAuthenticated && !command.spec.flags.includes('no_auth')) {
      this.reject(command, errors.noAuth().message);
      return;
    }
    this.start(command, args);
  }

  private endAsHttp(): void {
    this.server.warnOfHttp(this.remoteAddress);
    this.destroy();
  }

  /** Refuses a command that exists. */
  private reject(command: ResolvedCommand, message: string): void {
    if (command.spec.name === 'exec') this.abortTransaction(message);
    else this.refuse(new ErrorReply(message));
  }

  /** Refuses a command before it runs; inside MULTI the transaction is lost. */
  private refuse(reply: ErrorReply | EncodedReply): void {
    this.multi.refuse();
    this.settleHere(this.reserve(), reply);
  }

  /** An EXEC that is refused ends the transaction and forgets the watched keys, as in Redis. */
  private abortTransaction(text: string): void {
    this.multi.discard();
    const reason = text.replace(/^ERR /, '');
    this.settleHere(this.reserve(), new ErrorReply(`EXECABORT Transaction discarded because of: ${reason}`));
  }

  private start(command: ResolvedCommand, args: readonly Buffer[]): void {
    const { server } = this;
    const { spec } = command;
    const queued = this.multi.transaction !== undefined && !NOT_QUEUED.has(spec.name);
    if (server.pause !== undefined && !queued && this.heldByPause(command, args)) return;
    const handler = spec.handler!;
    const route = queued || handler.kind !== 'data' ? undefined : routeOf(server.kv, spec, args, this.db);
    const crosses = route === undefined ? spec.name === 'exec' && this.multi.crosses() : route.crosses;
    const isAlone = handler.kind === 'scan' || (crosses && this.mayCross) || this.readsHere(spec, route);
    if (!queued && this.mustWait(isAlone)) {
      this.held = { command, args };
      return;
    }
    server.stats.commandsProcessed++;
    this.lastCommand = command.fullName;
    this.lastCommandMs = server.clock.monotonicMs();
    if (queued) this.enqueue(command, args);
    else if (route !== undefined) this.startData(command, args, route);
    else this.startOther(command, args);
    if (this.replyMode === 'skip') this.replyMode = 'on';
    else if (this.replyMode === 'skipNext') this.replyMode = 'skip';
  }

  /** Commands and transactions may have keys of several groups. Clients that follow redirects expect CROSSSLOT instead. */
  get mayCross(): boolean {
    return !this.redirects && this.server.transactions !== undefined;
  }

  /**
   * A command that looks at applied state of all groups needs everything before it to be applied. And everything under way at one
   * time is routed by one version of the directory, so that no key has two ways.
   */
  private mustWait(isWide: boolean): boolean {
    const { routesVersion } = this.server.kv;
    if (this.ring.unsettled > 0) return isWide || routesVersion !== this.routedVersion;
    this.routedVersion = routesVersion;
    return false;
  }

  /** CLIENT PAUSE, when a command has to wait for its end. */
  private pauseFor({ spec }: ResolvedCommand): Pause | undefined {
    const isWriting = spec.flags.includes('write') || (spec.name === 'exec' && this.multi.writes());
    return this.server.activePause(isWriting);
  }

  private heldByPause(command: ResolvedCommand, args: readonly Buffer[]): boolean {
    const pause = this.pauseFor(command);
    if (pause === undefined) return false;
    this.held = { command, args };
    const remainingMs = Math.max(1, pause.untilMs - this.server.clock.monotonicMs());
    this.server.scheduler.after(remainingMs, () => this.resumeFromPause());
    return true;
  }

  private startData(command: ResolvedCommand, args: readonly Buffer[], route: Route): void {
    const slot = this.reserve(command);
    try {
      if (route.crosses) {
        this.startAcross(command, args, slot);
        return;
      }
      if (this.redirects) redirectElsewhere(this, command.spec, this.db, route.firstKey);
      if (this.readsHere(command.spec, route)) this.startHere(command, args, route, slot);
      else this.startInLane(command, args, route, slot);
    } catch (error) {
      this.settleError(slot, error, false);
    }
  }

  /** True when a replica of this node may answer; where it leads, it answers as always. */
  private readsHere(spec: CommandSpec, route: Route | undefined): boolean {
    return this.replicaReads.covers(spec, route) && !this.server.kv.servesLocally(route!.group!);
  }

  /** Answers from this node's replica, or with the leader's help. Nothing else is under way. */
  private startHere(command: ResolvedCommand, args: readonly Buffer[], route: Route, slot: number): void {
    const { server, replicaReads } = this;
    const group = route.group!;
    const request = new CommandRequest(command.spec, args, this.db, this.resp, server.settings, alone(), slot);
    const now = replicaReads.answerNow(group, request);
    if (now !== undefined) {
      this.settleHere(slot, now.reply);
      return;
    }
    this.occupyWith(
      replicaReads.answer(group, request, this.lastCommandMs + server.commandTimeoutMs),
      (reply) => {
        if (reply === undefined) this.startInLane(command, args, route, slot);
        else this.settleHere(slot, reply);
      },
      (error) => {
        // Whoever has the keys now, and whether it can be asked: the usual way finds out.
        if (error instanceof KvorumError && error.disposition !== 'final') this.startInLane(command, args, route, slot);
        else this.settleError(slot, error, false);
      },
    );
  }

  private startInLane(command: ResolvedCommand, args: readonly Buffer[], route: Route, slot: number): void {
    try {
      const lane = this.laneOf(route.group ?? anyGroup(this.server.kv));
      const request = new CommandRequest(
        command.spec,
        args,
        this.db,
        this.resp,
        this.server.settings,
        lane,
        slot,
        route.firstKey,
        route.firstStorageKey,
      );
      request.order = ++this.lastOrder;
      request.startedMs = this.lastCommandMs;
      lane.submit(request);
    } catch (error) {
      this.settleError(slot, error, false);
    }
  }

  /** Runs a command on several groups; nothing else is under way. @throws RedisError CROSSSLOT */
  private startAcross({ spec }: ResolvedCommand, args: readonly Buffer[], slot: number): void {
    if (!this.mayCross) throw crossGroup();
    const request = new CommandRequest(spec, args, this.db, this.resp, this.server.settings, alone(), slot);
    this.occupyWith(
      this.runAcross(request),
      (reply) => this.settle(slot, reply),
      (error) => this.settleError(slot, error, request.isWrite),
    );
  }

  /** Starts nothing else until the work is done and its outcome is taken in. */
  private occupyWith<T>(work: Promise<T>, succeeded: (value: T) => void, failed: (error: unknown) => void): void {
    this.occupied = true;
    const done = () => {
      this.occupied = false;
      this.scheduleFlush();
    };
    work.then(succeeded, failed).finally(done);
  }

  /** Runs a request on all groups that its keys belong to. Only when `mayCross`, and when nothing else is under way. */
  runAcross(request: GroupRequest): Promise<Reply> {
    if (request.startedMs === 0) request.startedMs = this.server.clock.monotonicMs();
    return runAcross(this.server.transactions!, request, this.server.commandTimeoutMs);
  }

  private startOther(command: ResolvedCommand, args: readonly Buffer[]): void {
    const slot = this.reserve(command);
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
      this.settleHere(slot, result);
      return;
    }
    const isWrite = command.spec.flags.includes('write') || command.spec.name === 'exec';
    const succeeded = (reply: Reply): void => this.settle(slot, reply);
    const failed = (error: unknown): void => this.settleError(slot, error, isWrite);
    if (this.detached) result.then(succeeded, failed);
    else this.occupyWith(result, succeeded, failed);
  }

  /** Runs a command that is not one operation on one group. @throws RedisError */
  runOther(command: ResolvedCommand, args: readonly Buffer[]): Reply | Promise<Reply> {
    const handler = command.spec.handler!;
    if (handler.kind === 'connection') return handler.run(this, args);
    if (handler.kind === 'scan') return handler.run(new ClusterScan(this.server, this), args);
    throw new RedisError(`ERR ${command.fullName} cannot run here`);
  }

  laneOf(group: GroupId): GroupLane {
    let lane = this.lanes.get(group);
    if (lane === undefined) {
      lane = new GroupLane(group, this.server, this);
      this.lanes.set(group, lane);
    }
    return lane;
  }

  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    if (request.token < 0) {
      this.asked.settle(request.token, error, reply);
    } else if (error !== undefined) {
      this.settleError(request.token, error, request.isWrite);
    } else {
      this.settle(request.token, reply ?? null);
    }
    this.rerouting.requestSettled(request, error);
  }

  laneStalled(): void {
    this.rerouting.laneStalled();
  }

  laneDrained(requests: readonly GroupRequest[]): void {
    this.rerouting.laneDrained(requests);
  }

  reroutingDone(): void {
    this.scheduleFlush();
  }

  /**
   * Runs a request whose outcome is not one command's reply, after everything that this connection has asked of the group.
   * @param make makes the request from its owner and its token
   */
  ask(group: GroupId, make: (lane: GroupLane, token: number) => GroupRequest): Promise<Reply> {
    const lane = this.laneOf(group);
    return this.asked.ask((token) => {
      const request = make(lane, token);
      request.order = ++this.lastOrder;
      request.startedMs = this.server.clock.monotonicMs();
      lane.submit(request);
    });
  }

  private isSilent(): boolean {
    return this.replyMode === 'off' || this.replyMode === 'skip';
  }

  private reserve(command?: ResolvedCommand): number {
    const { lastCommandBytes } = this.parser;
    return this.ring.reserve(this.resp, this.isSilent(), command?.counters, this.lastCommandMs, lastCommandBytes);
  }

  private settleError(slot: number, error: unknown, isWrite: boolean): void {
    this.server.unexpected(error);
    this.settle(slot, new ErrorReply(errorText(error, isWrite)));
  }

  /** A reply that leaders have a part in: reads by replicas that follow may not contradict it. */
  private settle(slot: number, reply: Reply): void {
    this.replicaReads.acted();
    this.settleHere(slot, reply);
  }

  /** A reply that no leader has a part in: about the connection itself, or a replica's. */
  private settleHere(slot: number, reply: Reply): void {
    if (reply instanceof ErrorReply || (reply instanceof EncodedReply && reply.bytes[0] === 0x2d)) {
      this.server.stats.errorReplies++;
      this.ring.noteError(slot);
    }
    if (this.ring.settle(slot, reply)) this.scheduleFlush();
  }

  scheduleFlush(): void {
    if (this.flushScheduled || this.closed) return;
    this.flushScheduled = true;
    this.server.scheduleFlush(this);
  }

  /** Writes the replies that are ready in one go; called by the server at the end of a turn's callbacks. */
  flush(): void {
    this.flushScheduled = false;
    if (this.closed) return;
    if (this.ring.hasWritable && !this.multi.holdsReplies(this.ring.oldest)) this.write();
    if (this.closing && this.ring.length === 0) {
      this.socket.end();
      return;
    }
    if (this.readingPaused || this.held !== undefined) this.pump();
  }

  private write(): void {
    const { writer, stats } = this.server;
    this.ring.writeTo(writer, this.server.clock.monotonicMs());
    stats.outputBytes += writer.pendingBytes;
    writeSegments(this.socket, writer.take());
    this.lastActiveMs = this.server.clock.monotonicMs();
  }

  /** Queues a command of a transaction; one that cannot be part of it loses the transaction. */
  private enqueue(command: ResolvedCommand, args: readonly Buffer[]): void {
    try {
      this.multi.enqueue(command, args);
      this.settleHere(this.reserve(command), QUEUED);
    } catch (error) {
      this.multi.refuse();
      this.settleError(this.reserve(), error, false);
    }
  }

  /** EXEC: one operation for all data commands of the transaction. */
  exec(): Reply | Promise<Reply> {
    return this.multi.exec(() => {
      this.detached = true;
    });
  }
}
