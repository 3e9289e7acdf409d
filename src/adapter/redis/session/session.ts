/**
 * The state of one connection that commands read and change: who the client is, what it has chosen, its transaction. How its commands
 * are run is the pipeline's (`pipeline.ts`), how bytes come and go the transport's (`transport.ts`).
 */
import type { Millis } from '../../../platform/index.ts';
import type { ClientSession, CommandSpec, Identity, ResolvedCommand } from '../command/index.ts';
import { areOfOneSlot, slotOf } from '../keys/index.ts';
import { SCOPES, type Scope } from '../messages/index.ts';
import { type ClientStream, EncodedReply, encodeReply, errors, PushReply, type Reply } from '../protocol/index.ts';
import { type GroupRequest, ownerElsewhere, ReplicaReadMode, type Route } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import { ClientAccess } from './access.ts';
import type { AfterReplies } from './after-replies.ts';
import { ClientTracking } from './client-tracking.ts';
import { touchesKeys, worksAllTheTime } from './command-kinds.ts';
import type { Standing } from './feature-wait.ts';
import { refusalWhileListening, Subscriptions } from './subscriptions.ts';
import { type TransactionClient, type TransactionHost, TransactionSession } from './transaction-session.ts';

/** Where a client comes from and has come to. */
export interface ClientAddresses {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localHost: string;
  /** It came in through the port for cluster clients. */
  readonly isClusterPort: boolean;
}

/** Both ends of a client's stream. @param isClusterPort it came in through the port for cluster clients */
export const addressesOf = (stream: ClientStream, isClusterPort: boolean): ClientAddresses => ({
  remoteAddress: `${stream.remoteAddress ?? '?'}:${stream.remotePort ?? 0}`,
  localAddress: `${stream.localAddress ?? '?'}:${stream.localPort ?? 0}`,
  // On a socket of both families an address of IPv4 has a prefix that clients of the other nodes cannot use.
  localHost: (stream.localAddress ?? '').replace(/^::ffff:(?=\d+\.)/, ''),
  isClusterPort,
});

/** What a session needs from what runs it. */
export interface SessionHost extends TransactionHost {
  readonly queryBufferBytes: number;
  readonly unreadReplyBytes: number;
  readonly pendingReplies: number;
  readonly isPaused: boolean;
  readonly isBlocked: boolean;
  unblock(reply: 'timeout' | 'error'): boolean;
  /** Ends the wait of a command that the client may not run any more. */
  recheckWaiting(): void;
  isIdleSince(sinceMs: Millis): boolean;
  push(message: EncodedReply, after?: number): void;
  readonly afterReplies: AfterReplies;
  dropIfSlow(): void;
  resumeFromPause(): void;
  closeAfterReplies(): void;
  readonly leaving: { begin(): void };
  destroy(): void;
}

/** Handlers see it as `ClientSession`, which lets them change it by methods only. */
export class Session implements ClientSession, TransactionClient {
  readonly server: ServerState;
  readonly id: number;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localHost: string;
  readonly isClusterPort: boolean;
  readonly connectedMs: Millis;
  db = 0;
  resp: 2 | 3 = 2;
  name = '';
  libName = '';
  libVersion = '';
  noEvict = false;
  noTouch = false;
  isMonitor = false;
  readonly access: ClientAccess;
  redirects: boolean;
  /** READONLY: replicas of this node answer reads, and none is redirected. */
  readonly replicaReads: ReplicaReadMode;
  readonly multi: TransactionSession;
  readonly subscriptions: Subscriptions;
  readonly tracking: ClientTracking;
  lastCommandMs: Millis;
  lastCommand = 'NULL';
  private readonly host: SessionHost;
  private readonly redirectsByDefault: boolean;
  /** `skipNext` becomes `skip` with the next command, and `on` after it. */
  private replyMode: 'on' | 'off' | 'skip' | 'skipNext' = 'on';

  constructor(server: ServerState, addresses: ClientAddresses, host: SessionHost) {
    this.server = server;
    this.host = host;
    this.id = server.nextClientId();
    this.remoteAddress = addresses.remoteAddress;
    this.localAddress = addresses.localAddress;
    this.localHost = addresses.localHost;
    this.isClusterPort = addresses.isClusterPort;
    this.redirectsByDefault = addresses.isClusterPort || server.config.clusterRedirects;
    this.redirects = this.redirectsByDefault;
    this.access = new ClientAccess(
      server,
      () => host.resumeFromPause(),
      () => server.describeClient(this),
    );
    this.replicaReads = new ReplicaReadMode(server.reads, (request) => this.noteSlow(request));
    this.multi = new TransactionSession(this, host);
    this.subscriptions = new Subscriptions(server.messages, this);
    this.tracking = new ClientTracking(server, this);
    this.connectedMs = server.clock.monotonicMs();
    this.lastCommandMs = this.connectedMs;
  }

  get isClusterMode(): boolean {
    return this.isClusterPort || this.redirects;
  }

  /**
   * Commands and transactions may have keys of several groups. Clients that follow redirects expect CROSSSLOT instead, unless the keys are of
   * one slot: that it was cut is nothing that they could know.
   */
  mayCross(storageKeys: () => readonly Buffer[]): boolean {
    return this.server.transactions !== undefined && (!this.redirects || areOfOneSlot(storageKeys()));
  }

  get readOnly(): boolean {
    return this.replicaReads.isOn;
  }

  /**
   * True when a replica of this node may answer; where it leads, it answers as always. What replicas say may be older than changes that were told of: a
   * client that keeps it asks the leaders.
   */
  readsHere(spec: CommandSpec, route: Route | undefined): boolean {
    if (this.tracking.isOn || !this.replicaReads.covers(spec, route)) return false;
    return !this.server.kv.servesLocally(route!.group!);
  }

  /** Nobody counts what it reads, and nobody has to tell it when that changes. */
  get readsUnnoticed(): boolean {
    return !this.tracking.isOn && this.server.settings.frequencies === undefined;
  }

  get isListening(): boolean {
    return this.resp === 2 && this.subscriptions.isActive;
  }

  listensTo(scope: Scope): number {
    return this.subscriptions.count(scope);
  }

  /** True when the reply of the present command is not written. */
  get isSilent(): boolean {
    return this.replyMode === 'off' || this.replyMode === 'skip';
  }

  get queuedCommands(): number | undefined {
    return this.multi.queuedCommands;
  }

  get replyPlace(): number {
    return this.host.newestReply;
  }

  get afterReplies(): AfterReplies {
    return this.host.afterReplies;
  }

  get queryBufferBytes(): number {
    return this.host.queryBufferBytes;
  }

  get unreadReplyBytes(): number {
    return this.host.unreadReplyBytes;
  }

  get pendingReplies(): number {
    return this.host.pendingReplies;
  }

  get isPaused(): boolean {
    return this.host.isPaused;
  }

  get isBlocked(): boolean {
    return this.host.isBlocked;
  }

  unblock(reply: 'timeout' | 'error'): boolean {
    return this.host.unblock(reply);
  }

  isIdleSince(sinceMs: Millis): boolean {
    return this.host.isIdleSince(sinceMs);
  }

  /** Whether the client may run a command, or nobody may now. Asked whenever the command is about to begin. */
  standingOf(command: ResolvedCommand, args: readonly Buffer[]): Standing {
    const { access } = this;
    // What has waited until the users were known is looked at again: the client may have to come in first.
    const refused = this.refusalOf(command);
    if (refused !== undefined) return { refusal: refused };
    const standing = access.standingOf(command, args);
    if (standing !== 'go' || access.identity.user.isUnlimited) return standing;
    // What is refused is the client's last command, too.
    this.began(command);
    const refusal = access.refusalOf(command, args, this.multi.isOpen ? 'multi' : 'toplevel');
    return refusal === undefined ? 'go' : { refusal: refusal.text };
  }

  /** A command begins. */
  began(command: ResolvedCommand): void {
    this.lastCommand = command.fullName;
    this.lastCommandMs = this.server.clock.monotonicMs();
  }

  /** Why the client may not use a command now; undefined: it may. */
  refusalOf({ spec, fullName }: ResolvedCommand): string | undefined {
    if (!this.isAuthenticated && !spec.flags.includes('no_auth')) return errors.noAuth().message;
    if (this.isMonitor && touchesKeys(spec)) return "ERR Replica can't interact with the keyspace";
    return this.isListening ? refusalWhileListening(spec.name, fullName) : undefined;
  }

  /** Shows a command to those who watch. As in Redis they do not see what administers the node. */
  show({ flags }: CommandSpec, args: readonly Buffer[], db = this.db): void {
    const { monitors } = this.server.watch;
    if (!monitors.areThere || flags.includes('admin')) return;
    monitors.tell(this.server.clock.nowMs(), db, this.remoteAddress, args);
  }

  /** The command that began last has run on the connection. EXEC's time is that of its commands. */
  ran(spec: CommandSpec, args: readonly Buffer[]): void {
    if (spec.flags.includes('skip_slowlog')) return;
    const { watch } = this.server;
    const tookMs = watch.nowMs() - this.lastCommandMs;
    watch.ran(spec, tookMs);
    watch.took(this, args, tookMs);
  }

  /** Has a command that answers later measured, unless it waits for somebody meanwhile. */
  timed(spec: CommandSpec, args: readonly Buffer[], reply: Promise<Reply>): Promise<Reply> {
    return worksAllTheTime(spec) ? reply.finally(() => this.ran(spec, args)) : reply;
  }

  /** Takes down those commands of a request that took long. */
  noteSlow({ commands, slow = [] }: GroupRequest): void {
    for (const { at, tookMs } of slow) {
      const { given, args } = commands[at]!;
      this.server.watch.took(this, given ?? args, tookMs);
    }
  }

  startMonitoring(): void {
    this.isMonitor = true;
    this.server.watch.monitors.add(this);
  }

  private stopMonitoring(): void {
    this.isMonitor = false;
    this.server.watch.monitors.remove(this);
  }

  /** A command has begun, or was refused, and the reply mode that it was to have is used up. */
  passed(command?: ResolvedCommand): void {
    this.tracking.passed(command?.fullName ?? '', this.multi.isOpen || this.multi.isExecuting);
    if (this.replyMode === 'skip') this.replyMode = 'on';
    else if (this.replyMode === 'skipNext') this.replyMode = 'skip';
  }

  select(db: number): void {
    this.db = db;
  }

  useProtocol(version: 2 | 3): void {
    this.resp = version;
  }

  get isAuthenticated(): boolean {
    return this.access.isAuthenticated;
  }

  get userName(): string {
    return this.access.identity.user.name;
  }

  authenticated(identity: Identity): void {
    this.access.authenticated(identity);
  }

  noteDenial(reason: 'auth', command: Buffer, userName: string): void {
    const context = this.multi.isOpen ? 'multi' : 'toplevel';
    this.access.note({ reason, context, object: command, userName });
  }

  usersChanged(): void {
    const isThere = this.access.renew();
    // What it may not listen to any more ends with its connection, as in Redis: it would wait in silence.
    if (!isThere || !this.mayListenStill()) this.host.closeAfterReplies();
    else this.host.recheckWaiting();
  }

  private mayListenStill(): boolean {
    const { subscriptions, access } = this;
    if (!subscriptions.isActive || access.identity.user.isUnlimited) return true;
    const { users } = this.server;
    return SCOPES.every((scope) =>
      subscriptions.of(scope).every((name) => users.mayListen(access.identity, name, scope === 'pattern')),
    );
  }

  setName(name: string): void {
    this.name = name;
  }

  setLibrary(part: 'name' | 'version', text: string): void {
    if (part === 'name') this.libName = text;
    else this.libVersion = text;
  }

  setNoEvict(isOn: boolean): void {
    this.noEvict = isOn;
  }

  setNoTouch(isOn: boolean): void {
    this.noTouch = isOn;
  }

  setReplyMode(mode: 'on' | 'off' | 'skip'): void {
    if (mode !== 'skip') this.replyMode = mode;
    else if (this.replyMode !== 'off') this.replyMode = 'skipNext';
  }

  setRedirects(isOn: boolean): void {
    this.redirects = isOn;
  }

  readReplicas(isOn: boolean): void {
    if (isOn) this.replicaReads.switchOn();
    else this.replicaReads.switchOff();
  }

  setStaleness(ms: Millis): void {
    this.replicaReads.setStaleness(ms);
  }

  reset(): void {
    this.stopMonitoring();
    this.multi.discard();
    this.subscriptions.clear();
    this.tracking.switchOff();
    this.db = 0;
    this.resp = 2;
    this.name = '';
    this.replyMode = 'on';
    this.access.reset();
    this.noEvict = false;
    this.noTouch = false;
    this.replicaReads.reset();
    this.redirects = this.redirectsByDefault;
  }

  push(message: EncodedReply, after?: number): void {
    this.host.push(message, after);
  }

  dropIfSlow(): void {
    this.host.dropIfSlow();
  }

  leaveMovedSlots(): void {
    if (!this.redirects || this.subscriptions.count('shard') === 0) return;
    for (const channel of this.subscriptions.of('shard')) {
      if (ownerElsewhere(this.server, slotOf(channel)) === undefined) continue;
      this.subscriptions.remove('shard', channel);
      const line = new PushReply(['sunsubscribe', channel, this.subscriptions.count('shard')]);
      this.push(new EncodedReply(encodeReply(line, this.resp)));
    }
  }

  resumeFromPause(): void {
    this.host.resumeFromPause();
  }

  closeAfterReplies(): void {
    this.host.closeAfterReplies();
  }

  closeWhenAnswered(): void {
    this.host.leaving.begin();
  }

  destroy(): void {
    this.host.destroy();
  }

  /** The connection is gone. */
  closed(): void {
    this.subscriptions.clear();
    this.tracking.switchOff();
    this.stopMonitoring();
  }
}
