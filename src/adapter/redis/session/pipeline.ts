/**
 * The commands of one client: takes them from the transport, starts them, and puts their replies into request order. Data commands of a
 * pipeline are all started at once; commands that look at the whole cluster or change the connection asynchronously hold back what
 * follows.
 */
import { type GroupId, KvorumError, type Millis } from '../../../platform/index.ts';
import { type CommandSpec, mayWrite, type ResolvedCommand } from '../command/index.ts';
import {
  type ClientStream,
  type EncodedReply,
  ErrorReply,
  encodeLongArray,
  ProtocolError,
  QUEUED,
  RedisError,
  type Reply,
} from '../protocol/index.ts';
import {
  AskedRequests,
  alone,
  anyGroup,
  ClusterScan,
  GroupPipeline,
  type GroupPipelineOwner,
  type GroupRequest,
  NO_ROUTE,
  type RequestOwner,
  Rerouting,
  type ReroutingHost,
  type Route,
  readAtMoment,
  readsAtMoment,
  routeOf,
  storageKeysOf,
} from '../request/index.ts';
import type { Flushed, Pause, ServerState } from '../state/index.ts';
import { AcrossLine } from './across-line.ts';
import { AfterReplies } from './after-replies.ts';
import { beginsAside, requestOf } from './client-request.ts';
import { mayChange } from './command-kinds.ts';
import { CommandLookup, MisusedCommand, UnknownCommand } from './command-lookup.ts';
import { FairTurn } from './fair-turn.ts';
import { FeatureWait, type Standing } from './feature-wait.ts';
import { Leaving } from './leaving.ts';
import { piecesOf, runPieces } from './pieces.ts';
import { type Crossing, checkPlace } from './places.ts';
import { ReplyRing } from './reply-ring.ts';
import { ReplySlots, type ReplySlotsHost } from './reply-slots.ts';
import { ScriptWait } from './script-search.ts';
import { addressesOf, Session, type SessionHost } from './session.ts';
import { Transport, type TransportOwner } from './transport.ts';
import { WaitingSlot } from './waiting-slot.ts';

const NOTHING = (): void => undefined;
/** Commands that run inside MULTI instead of being queued. */
const NOT_QUEUED: ReadonlySet<string> = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);

/** How a command over keys is done: aside (`beginsAside`), some names at a time (`readsAtMoment`), or by the leaders of its keys. */
type Way = 'aside' | 'atMoment' | 'usual';

export class CommandPipeline
  implements SessionHost, TransportOwner, GroupPipelineOwner, ReroutingHost, ReplySlotsHost, Crossing, Flushed
{
  readonly server: ServerState;
  readonly session: Session;
  private readonly transport: Transport;
  private readonly ring = new ReplyRing();
  private readonly slots = new ReplySlots(this, this.ring);
  readonly afterReplies = new AfterReplies(this.ring);
  private readonly groupPipelines = new Map<GroupId, GroupPipeline>();
  /** What came back because its keys have moved, or its group's leader is another. */
  private readonly rerouting = new Rerouting(this);
  private lastOrder = 0;
  /** Version of the directory that everything under way was routed by. */
  private routedVersion = 0;
  private readonly asked = new AskedRequests();
  private readonly lookup: CommandLookup;
  /** A command that waits for keys. */
  readonly waiting = new WaitingSlot();
  /** A command whose start waits: for everything before it, or for the end of CLIENT PAUSE. */
  private held: { readonly command: ResolvedCommand; readonly args: readonly Buffer[] } | undefined;
  private readonly featureWait: FeatureWait;
  private readonly scriptWait: ScriptWait;
  /** An asynchronous command runs; nothing is started before it is done. */
  private occupied = false;
  private readonly across = new AcrossLine(this);
  private readonly turn: FairTurn;
  /** Set by EXEC when nothing after it depends on its outcome. */
  private detached = false;
  private flushScheduled = false;
  readonly leaving = new Leaving(this);

  /** Serves a client on a stream that is open. @param isClusterPort it came in through the port for cluster clients */
  constructor(server: ServerState, stream: ClientStream, isClusterPort: boolean) {
    this.server = server;
    this.session = new Session(server, addressesOf(stream, isClusterPort), this);
    this.transport = new Transport(server, stream, this);
    this.lookup = new CommandLookup(server.table);
    this.scriptWait = new ScriptWait(server);
    this.featureWait = new FeatureWait(server, () => this.pump());
    this.turn = new FairTurn(server, () => this.pump());
  }

  get isTrusted(): boolean {
    return this.session.isAuthenticated;
  }

  get lastCommandBytes(): number {
    return this.transport.lastCommandBytes;
  }

  get queryBufferBytes(): number {
    return this.transport.bufferedBytes;
  }

  get unreadReplyBytes(): number {
    return this.transport.unreadBytes;
  }

  get pendingReplies(): number {
    return this.ring.length;
  }

  get isPaused(): boolean {
    return this.held !== undefined && this.pauseFor(this.held.command, this.held.args) !== undefined;
  }

  get isBlocked(): boolean {
    return this.waiting.isInLine;
  }

  unblock(reply: 'timeout' | 'error'): boolean {
    return this.waiting.end(reply);
  }

  recheckWaiting(): void {
    this.waiting.recheck(this.session);
  }

  isIdleSince(sinceMs: Millis): boolean {
    return this.transport.lastActiveMs < sinceMs && this.ring.length === 0 && this.held === undefined;
  }

  get newestReply(): number {
    return this.ring.newest;
  }

  push(message: EncodedReply, after = -1): void {
    if (this.transport.isClosing) return;
    this.transport.push(message, after);
    this.scheduleFlush();
    this.dropIfSlow();
  }

  dropIfSlow(): void {
    if (this.transport.keepsUp) return;
    this.server.warnOfSlowReader(this.session.remoteAddress);
    this.destroy();
  }

  closeAfterReplies(): void {
    this.waiting.end('gone');
    this.transport.isClosing = true;
    this.session.subscriptions.clear();
    this.scheduleFlush();
  }

  get isOwing(): boolean {
    const isUnderWay = this.ring.length > 0 || this.held !== undefined || this.occupied;
    return isUnderWay || this.transport.bufferedBytes > 0 || this.session.multi.hasBegun;
  }

  destroy(): void {
    if (this.transport.isClosed) return;
    this.held = undefined;
    this.waiting.end('gone');
    this.server.connections.delete(this.session.id);
    this.session.closed();
    this.transport.destroy();
  }

  resumeFromPause(): void {
    this.pump();
  }

  transportReady(): void {
    this.pump();
  }

  /** Starts commands as long as nothing holds them back, and reads from the client only then. */
  private pump(): void {
    const { transport } = this;
    this.waiting.hasWaited = false;
    this.turn.begin();
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
        args = transport.take();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.refuse(new ErrorReply(`ERR Protocol error: ${error.message}`));
        this.closeAfterReplies();
        return;
      }
      if (args === undefined) {
        transport.setReading(true);
        if (transport.inputEnded) this.closeAfterReplies();
        return;
      }
      this.dispatch(args);
      this.turn.took(this.session.lastCommandMs);
    }
    if (!this.waiting.read(transport)) this.destroy();
  }

  private mayStart(): boolean {
    const { config } = this.server;
    return (
      !this.occupied &&
      !this.turn.isOver &&
      !this.transport.isClosing &&
      !this.rerouting.isActive &&
      this.ring.hasRoom(config, this.transport.unreadBytes)
    );
  }

  private dispatch(args: readonly Buffer[]): void {
    const found = this.lookup.find(args, this.server.config.debugCommands);
    if (found === 'http') {
      this.server.warnOfHttp(this.session.remoteAddress);
      this.destroy();
    } else if (found instanceof UnknownCommand) {
      this.refuse(found.reply);
    } else if (found instanceof MisusedCommand) {
      this.reject(found.command, found.message);
    } else {
      this.start(found, args);
    }
  }

  /** Refuses a command that exists. */
  private reject(command: ResolvedCommand, message: string): void {
    command.counters.rejected++;
    if (command.spec.name === 'exec') this.abortTransaction(message);
    else this.refuse(new ErrorReply(message), command);
  }

  /** Refuses a command before it runs; inside MULTI the transaction is lost. */
  private refuse(reply: ErrorReply | EncodedReply, command?: ResolvedCommand): void {
    this.session.multi.refuse();
    this.slots.settleHere(this.slots.reserve(), reply);
    this.session.passed(command);
  }

  /** An EXEC that is refused ends the transaction and forgets the watched keys, as in Redis. */
  private abortTransaction(text: string): void {
    this.session.multi.discard();
    const reason = text.replace(/^ERR /, '');
    this.slots.settleHere(
      this.slots.reserve(),
      new ErrorReply(`EXECABORT Transaction discarded because of: ${reason}`),
    );
    this.session.passed();
  }

  private start(command: ResolvedCommand, args: readonly Buffer[]): void {
    const { server, session } = this;
    const { spec } = command;
    if (this.across.length > 0 && !this.across.admits(command, args, this.routedVersion)) {
      this.held = { command, args };
      return;
    }
    const queued = session.multi.isOpen && !NOT_QUEUED.has(spec.name);
    if (this.heldBy(session.standingOf(command, args), command, args)) return;
    if (server.isPaused && !queued && this.heldByPause(command, args)) return;
    if (this.heldBy(this.featureWait.standingOf(command), command, args)) return;
    if (command.spec.needsScript !== undefined && this.heldByScript(command, args)) return;
    const handler = spec.handler!;
    const isLong = !queued && this.readsAtMoment(spec, args);
    // Of very many names the first says which node a client is to ask.
    const routed = isLong ? args.slice(0, 2) : args;
    const route = queued || handler.kind !== 'data' ? undefined : routeOf(server.kv, spec, routed, session.db);
    const isAcross = route?.crosses
      ? this.mayRunAcross(spec, args)
      : spec.name === 'exec' && session.multi.runsAcross();
    const patienceMs = queued ? undefined : spec.waits?.patienceMs(args);
    const isWide = patienceMs !== undefined || handler.kind === 'scan' || spec.isBehindAll === true;
    const isAside = route !== undefined && beginsAside(server, spec, args);
    const isAlone = isWide || isLong || isAcross || isAside || session.readsHere(spec, route);
    if (!queued && this.mustWait(isAlone)) {
      this.held = { command, args };
      return;
    }
    server.stats.commandsProcessed++;
    session.began(command);
    if (queued) this.enqueue(command, args);
    else if (patienceMs !== undefined) this.startWaiting(command, args, route!, patienceMs);
    else if (route !== undefined)
      this.startData(command, args, route, isLong ? 'atMoment' : isAside ? 'aside' : 'usual');
    else this.startOther(command, args);
    session.passed(command);
  }

  mayRunAcross(spec: CommandSpec, args: readonly Buffer[]): boolean {
    return this.session.mayCross(() => storageKeysOf([{ spec, args, db: this.session.db }]));
  }

  /**
   * A command that looks at applied state of all groups needs everything before it to be applied. And everything under way at one
   * time is routed by one version of the directory, so that no key has two ways.
   */
  private mustWait(isWide: boolean): boolean {
    const { routesVersion } = this.server.kv;
    if (this.ring.unsettled > this.across.length) return isWide || routesVersion !== this.routedVersion;
    this.routedVersion = routesVersion;
    return false;
  }

  /** CLIENT PAUSE, when a command has to wait for its end. */
  private pauseFor({ spec }: ResolvedCommand, args: readonly Buffer[]): Pause | undefined {
    return this.server.activePause(mayChange(spec, args, this.session.multi));
  }

  private heldByPause(command: ResolvedCommand, args: readonly Buffer[]): boolean {
    const pause = this.pauseFor(command, args);
    if (pause === undefined) return false;
    this.held = { command, args };
    this.server.afterPause(pause, () => this.resumeFromPause());
    return true;
  }

  /** @param standing of the command: it begins, waits, or is refused */
  private heldBy(standing: Standing, command: ResolvedCommand, args: readonly Buffer[]): boolean {
    if (standing === 'wait') this.held = { command, args };
    else if (standing !== 'go') this.reject(command, standing.refusal);
    return standing !== 'go';
  }

  /** Looks for a script that another node may have loaded. The command waits for what comes before it, and for the answer. */
  private heldByScript(command: ResolvedCommand, args: readonly Buffer[]): boolean {
    const sha = this.scriptWait.wanted(command, args);
    if (sha === undefined) return false;
    this.held = { command, args };
    if (this.ring.unsettled > 0) return true;
    // Not found in time is not known: the command says so.
    this.occupyWith(this.scriptWait.look(sha, this.ask.bind(this)), NOTHING, NOTHING);
    return true;
  }

  private startData(command: ResolvedCommand, args: readonly Buffer[], route: Route, way: Way): void {
    const { session } = this;
    const slot = this.slots.reserve(command);
    try {
      checkPlace(session, command.spec, args, route, this);
      session.show(command.spec, args);
      session.tracking.reads(command, args, slot);
      if (way === 'atMoment') this.startAtMoment(command, args, slot);
      else if (route.crosses || way === 'aside') {
        // On several groups, or aside; nothing else is under way but others of this kind.
        const request = requestOf(session, command, args, route, alone(), slot);
        if (way === 'aside') request.journey.isAside = true;
        const inLine = this.across.enter(request);
        this.occupySlot(slot, inLine ?? this.runAcross(request), request.isWrite, inLine !== undefined);
      } else if (session.readsHere(command.spec, route)) this.startHere(command, args, route, slot);
      else this.startInGroups(command, args, route, slot);
    } catch (error) {
      this.slots.settleError(slot, error, false);
    }
  }

  /** Starts a command that may wait for keys; nothing else is under way, and nothing is started before it has its answer. */
  private startWaiting(command: ResolvedCommand, args: readonly Buffer[], route: Route, patienceMs: Millis): void {
    const { session } = this;
    const { spec } = command;
    const slot = this.slots.reserve(command);
    try {
      checkPlace(session, spec, args, route, this);
      session.show(spec, args);
      const make = (given: readonly Buffer[]) => requestOf(session, command, given, NO_ROUTE, alone(), slot);
      const run = (): Promise<Reply> => this.waiting.run(this, spec, args, patienceMs, make);
      this.occupySlot(slot, session.tracking.waits(command, args, slot, run), mayWrite(spec, args));
    } catch (error) {
      this.slots.settleError(slot, error, false);
    }
  }

  /** Answers from this node's replica, or with the leader's help. Nothing else is under way. */
  private startHere(command: ResolvedCommand, args: readonly Buffer[], route: Route, slot: number): void {
    const { replicaReads, lastCommandMs } = this.session;
    const group = route.group!;
    const request = requestOf(this.session, command, args, route, alone(), slot);
    const now = replicaReads.answerNow(group, request);
    if (now !== undefined) {
      this.slots.settleHere(slot, now.reply);
      return;
    }
    this.occupyWith(
      replicaReads.answer(group, request, lastCommandMs + this.server.commandTimeoutMs),
      (reply) => {
        if (reply === undefined) this.startInGroup(command, args, route, slot);
        else this.slots.settleHere(slot, reply);
      },
      (error) => {
        // Whoever has the keys now, and whether it can be asked: the usual way finds out.
        if (error instanceof KvorumError && error.disposition !== 'final')
          this.startInGroup(command, args, route, slot);
        else this.slots.settleError(slot, error, false);
      },
    );
  }

  private startInGroup(command: ResolvedCommand, args: readonly Buffer[], route: Route, slot: number): void {
    try {
      const pipeline = this.pipelineOf(route.group ?? anyGroup(this.server.kv));
      const request = requestOf(this.session, command, args, route, pipeline, slot, this.transport);
      request.order = ++this.lastOrder;
      request.startedMs = this.session.lastCommandMs;
      pipeline.submit(request);
    } catch (error) {
      this.slots.settleError(slot, error, false);
    }
  }

  private readsAtMoment(spec: CommandSpec, args: readonly Buffer[]): boolean {
    return this.server.momentLine !== undefined && readsAtMoment(spec, args);
  }

  /** Reads very many names some at a time. Nothing else is under way. */
  private startAtMoment(command: ResolvedCommand, args: readonly Buffer[], slot: number): void {
    const { server, session } = this;
    const request = requestOf(session, command, args, NO_ROUTE, alone(), slot);
    const options = { staysInGroup: session.redirects, isWanted: () => !this.transport.isClosed };
    this.occupySlot(slot, readAtMoment(server, server.momentLine!, request, options), false);
  }

  /** Runs a command, or its pieces one after the other; then nothing that comes behind it is begun before its last piece has ended. */
  private startInGroups(command: ResolvedCommand, args: readonly Buffer[], route: Route, slot: number): void {
    const { spec } = command;
    const pieces = piecesOf(spec, args);
    if (pieces === undefined) {
      this.startInGroup(command, args, route, slot);
      return;
    }
    const group = route.group ?? anyGroup(this.server.kv);
    const run = (piece: readonly Buffer[]): Promise<Reply> =>
      this.ask(group, (owner, token) => requestOf(this.session, command, piece, route, owner, token));
    const work = runPieces(spec, pieces, run, this.server.scheduler);
    this.occupySlot(slot, work, mayWrite(spec, args));
  }

  /** @param isInLine others may be started meanwhile */
  private occupySlot(slot: number, work: Promise<Reply>, isWrite: boolean, isInLine = false): void {
    const answered = (reply: Reply): void => this.slots.settle(slot, reply);
    const failed = (error: unknown): void => this.slots.settleError(slot, error, isWrite);
    if (isInLine) work.then(answered, failed).finally(() => this.scheduleFlush());
    else this.occupyWith(work, answered, failed);
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

  runAcross(request: GroupRequest): Promise<Reply> {
    return this.across.run(request);
  }

  private startOther(command: ResolvedCommand, args: readonly Buffer[]): void {
    const { session } = this;
    const slot = this.slots.reserve(command);
    this.detached = false;
    let result: Reply | Promise<Reply>;
    try {
      result = this.runOther(command, args);
    } catch (error) {
      session.ran(command.spec, args);
      this.slots.settleError(slot, error, false);
      return;
    } finally {
      // Behind what it has selected.
      session.show(command.spec, args);
    }
    if (!(result instanceof Promise)) {
      session.ran(command.spec, args);
      this.slots.rewritten(slot, command);
      this.slots.settleHere(slot, result);
      return;
    }
    if (command.spec.handler!.kind === 'scan')
      result = result.then((made) => encodeLongArray(made, session.resp, this.server.scheduler));
    result = session.timed(command.spec, args, result);
    const isWrite = mayWrite(command.spec, args) || command.spec.name === 'exec';
    const succeeded = (reply: Reply): void => this.slots.settle(slot, reply);
    const failed = (error: unknown): void => this.slots.settleError(slot, error, isWrite);
    if (this.detached) result.then(succeeded, failed);
    else this.occupyWith(result, succeeded, failed);
  }

  /** Runs a command that is not one operation on one group. @throws RedisError */
  runOther(command: ResolvedCommand, args: readonly Buffer[], db = this.session.db): Reply | Promise<Reply> {
    const handler = command.spec.handler!;
    if (handler.kind === 'connection') return handler.run(this.session, args);
    if (handler.kind === 'scan') return handler.run(new ClusterScan(this.server, this.session, db), args);
    throw new RedisError(`ERR ${command.fullName} cannot run here`);
  }

  pipelineOf(group: GroupId): GroupPipeline {
    let pipeline = this.groupPipelines.get(group);
    if (pipeline === undefined) {
      pipeline = new GroupPipeline(group, this.server, this);
      this.groupPipelines.set(group, pipeline);
    }
    return pipeline;
  }

  requestSettled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    if (request.slow !== undefined) this.session.noteSlow(request);
    if (request.token < 0) {
      this.asked.settle(request.token, error, reply);
    } else if (error !== undefined) {
      this.slots.settleError(request.token, error, request.isWrite);
    } else {
      this.slots.settle(request.token, reply ?? null);
    }
    this.rerouting.requestSettled(request, error);
  }

  groupStalled(): void {
    this.rerouting.groupStalled();
  }

  groupDrained(requests: readonly GroupRequest[]): void {
    this.rerouting.groupDrained(requests);
  }

  reroutingDone(): void {
    this.scheduleFlush();
  }

  /**
   * Runs a request whose outcome is not one command's reply, after everything that this connection has asked of the group.
   * @param make makes the request from its owner and its token
   */
  ask(group: GroupId, make: (owner: RequestOwner, token: number) => GroupRequest): Promise<Reply> {
    const pipeline = this.pipelineOf(group);
    return this.asked.ask((token) => {
      const request = make(pipeline, token);
      request.order = ++this.lastOrder;
      request.startedMs = this.server.clock.monotonicMs();
      pipeline.submit(request);
    });
  }

  scheduleFlush(): void {
    if (this.flushScheduled || this.transport.isClosed) return;
    this.flushScheduled = true;
    this.server.scheduleFlush(this);
  }

  /** Writes what is ready in one go; called by the server at the end of a turn's callbacks. */
  flush(): void {
    const { transport, ring } = this;
    this.flushScheduled = false;
    if (transport.isClosed) return;
    transport.write(ring, this.session.multi.holdsReplies(ring.oldest));
    if (transport.isClosing && ring.length === 0) {
      transport.end();
      return;
    }
    if (transport.isReadingPaused || this.held !== undefined || this.waiting.hasWaited) this.pump();
    this.leaving.look();
  }

  /** Queues a command of a transaction; one that cannot be part of it loses the transaction. */
  private enqueue(command: ResolvedCommand, args: readonly Buffer[]): void {
    try {
      this.session.multi.enqueue(command, args);
      this.slots.settleHere(this.slots.reserve(command), QUEUED);
    } catch (error) {
      this.session.multi.refuse();
      this.slots.settleError(this.slots.reserve(), error, false);
    }
  }

  detach(): void {
    this.detached = true;
  }
}
