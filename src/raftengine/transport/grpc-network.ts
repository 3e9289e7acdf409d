/**
 * `PeerNetwork` over gRPC: one server that takes the frames and streams of all peers (and any other service that the node
 * offers), one outgoing `PeerLink` a peer. Either side can dial: each node sends on the connections that it opened.
 */
import grpc from '@grpc/grpc-js';
import {
  assert,
  type Clock,
  type DuplexHandler,
  type DuplexStream,
  type FrameHandler,
  type Lane,
  type NodeId,
  type PeerAdmission,
  type PeerNetwork,
  PeerRefusedError,
  type Random,
  type Refusal,
  type Scheduler,
  type StreamHandler,
} from '../../platform/index.ts';
import { type LiveCertificates, namesOfCaller, type PeerSecret, serverCredentials } from '../../security/index.ts';
import { MalformedFrameError, StreamBrokenError } from '../errors.ts';
import { folderWasRemoved } from '../founding/index.ts';
import { receiveStream, sendStream } from './bulk-stream.ts';
import type { PeerTls } from './channel.ts';
import { DirectLanes, type InboundLane } from './direct-lane.ts';
import { type DuplexEnd, openDuplex, refusedDuplex, serveDuplex } from './duplex-stream.ts';
import { PeerListener } from './listener.ts';
import { PeerLink, type TransportLogger } from './peer-link.ts';
import {
  answerTo,
  asksDirect,
  checkCaller,
  FrameAssembler,
  GOODBYE,
  kindOfCall,
  laneOfCall,
  MAX_MESSAGE_BYTES,
  type OwnIdentity,
  offerDirect,
  PEER_SERVICE,
  type PeerIdentity,
  reasonMetadata,
} from './peer-protocol.ts';
import { ProcessTurns } from './process-turns.ts';

export interface GrpcNetworkOptions {
  readonly self: NodeId;
  readonly clusterName: string;
  /** Says what this node's data folder is, and decides which ones of others are listened to. */
  readonly admission: PeerAdmission;
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly logger?: TransportLogger;
  /** Certificates that all sides show and check; without, everything is plain text and nobody proves anything. */
  readonly tls?: LiveCertificates | undefined;
  /** Names in certificates whose holders may be peers; empty: every holder of a certificate may. */
  readonly nodeNames?: readonly string[] | undefined;
  /** What nodes prove with that they are of this cluster; undefined: nothing. */
  readonly secret?: PeerSecret | undefined;
}

/** A `PeerNetwork` with a server that others may add services to. */
export interface GrpcNetwork extends PeerNetwork {
  /** Services are added before `start`. */
  readonly server: grpc.Server;
  /** The port that the server is bound to; 0 before `start`. */
  readonly port: number;
  /** True when frames to the peer are taken. */
  isConnected(peer: NodeId): boolean;
}

const SERVER_OPTIONS: grpc.ServerOptions = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.enable_channelz': 0,
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
  'grpc-node.max_session_memory': 256,
  'grpc.keepalive_time_ms': 2000,
  'grpc.keepalive_timeout_ms': 5000,
};

/** How long peers get to hang up when this node stops. */
const GOODBYE_MS = 200;
const LIFE_BYTES = 6;
const FRAME_LANES: readonly Lane[] = ['control', 'bulk', 'forward'];

type FramesCall = grpc.ServerDuplexStream<Buffer, Buffer>;
type DuplexCall = grpc.ServerDuplexStream<Buffer, Buffer>;
type StreamCall = grpc.ServerReadableStream<Buffer, Buffer>;
type IncomingCall = FramesCall | StreamCall;
type RefusalStatus = Required<Pick<grpc.StatusObject, 'code' | 'details' | 'metadata'>>;

/** How a call ends whose other side is to know why. */
const refusalOf = (error: Error): RefusalStatus => ({
  code: grpc.status.FAILED_PRECONDITION,
  details: error.message,
  metadata: reasonMetadata(error),
});

/** Makes the network; nothing listens or dials before `start`. */
export function createGrpcNetwork(options: GrpcNetworkOptions): GrpcNetwork {
  return new GrpcPeerNetwork(options);
}

class GrpcPeerNetwork implements GrpcNetwork {
  readonly self: NodeId;
  readonly server: grpc.Server;
  port = 0;
  private readonly options: GrpcNetworkOptions;
  /** Of this process. */
  private readonly life: string;
  private readonly tls: PeerTls | undefined;
  private readonly addresses = new Map<NodeId, string>();
  private readonly links = new Map<NodeId, PeerLink>();
  private readonly processTurns = new ProcessTurns();
  private readonly directLanes: DirectLanes;
  private readonly frameHandlers = new Map<Lane, FrameHandler>();
  private readonly streamHandlers = new Map<string, StreamHandler>();
  private readonly duplexHandlers = new Map<string, DuplexHandler>();
  /** Open two-way streams by the end of them that is here. */
  private readonly outboundDuplexes = new Map<DuplexEnd, NodeId>();
  private readonly inboundDuplexes = new Map<DuplexEnd, DuplexCall>();
  private readonly lostListeners: ((peer: NodeId) => void)[] = [];
  private readonly acceptedListeners: ((peer: NodeId) => void)[] = [];
  private readonly refusedListeners: ((refusal: Refusal) => void)[] = [];
  /** The newest inbound call of a peer and lane; frames of older ones are out of date. */
  private readonly inbound = new Map<string, FramesCall>();
  /** Peers whose loss is told at the end of this turn: one loss breaks several calls. */
  private lost = new Set<NodeId>();
  private listener: PeerListener | undefined;
  private state: 'new' | 'running' | 'stopped' = 'new';

  constructor(options: GrpcNetworkOptions) {
    this.options = options;
    this.self = options.self;
    this.life = options.random.bytes(LIFE_BYTES).toString('hex');
    const { tls: certificates, nodeNames = [] } = options;
    this.tls = certificates && { certificates, nodeNames };
    this.directLanes = new DirectLanes(options.random, options.scheduler, certificates);
    this.server = new grpc.Server(SERVER_OPTIONS);
    this.server.addService(PEER_SERVICE, {
      Frames: (call: FramesCall) => this.serveFrames(call),
      Stream: (call: StreamCall, answer: grpc.sendUnaryData<Buffer>) => this.serveStream(call, answer),
      Duplex: (call: DuplexCall) => this.serveDuplex(call),
    });
  }

  setPeer(peer: NodeId, address: string): void {
    if (this.state === 'stopped' || peer === this.self || this.addresses.get(peer) === address) return;
    this.removePeer(peer);
    this.addresses.set(peer, address);
    if (this.state === 'running') this.dial(peer, address);
  }

  removePeer(peer: NodeId): void {
    this.addresses.delete(peer);
    for (const [end, to] of this.outboundDuplexes)
      if (to === peer) end.fail(new StreamBrokenError(`the address of node ${peer} was given up`), true);
    const link = this.links.get(peer);
    this.links.delete(peer);
    if (link === undefined) return;
    const wasConnected = link.connected;
    link.close();
    if (wasConnected) this.tellLost(peer);
  }

  fence(peer: NodeId, incarnation: string): void {
    if (this.options.admission.remove(peer, incarnation))
      this.cutOff(peer, new PeerRefusedError(folderWasRemoved(peer), 'removed'));
  }

  confirm(peer: NodeId, incarnation: string): void {
    if (this.options.admission.confirm(peer, incarnation))
      this.cutOff(peer, new PeerRefusedError(`the cluster knows node ${peer} with another data folder`, 'changed'));
  }

  onAccepted(listener: (peer: NodeId) => void): void {
    this.acceptedListeners.push(listener);
  }

  onRefused(listener: (refusal: Refusal) => void): void {
    this.refusedListeners.push(listener);
  }

  onFrame(lane: Lane, handler: FrameHandler): void {
    assert(!this.frameHandlers.has(lane), `lane ${lane} has a handler already`);
    this.frameHandlers.set(lane, handler);
  }

  onStream(kind: string, handler: StreamHandler): void {
    assert(!this.streamHandlers.has(kind), `streams of kind ${kind} have a handler already`);
    this.streamHandlers.set(kind, handler);
  }

  onDuplex(kind: string, handler: DuplexHandler): void {
    assert(!this.duplexHandlers.has(kind), `two-way streams of kind ${kind} have a handler already`);
    this.duplexHandlers.set(kind, handler);
  }

  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream {
    const { clock, scheduler } = this.options;
    const address = this.addresses.get(to);
    if (address === undefined || this.state !== 'running') {
      const error = new StreamBrokenError(`no address of node ${to} is known, or this node stops`);
      return refusedDuplex(clock, scheduler, to, error);
    }
    const end: DuplexEnd = openDuplex({
      self: this.identity(),
      to,
      address,
      tls: this.tls,
      kind,
      header,
      clock,
      scheduler,
      admit: (peer) => this.admit(peer),
      onReleased: () => this.outboundDuplexes.delete(end),
    });
    this.outboundDuplexes.set(end, to);
    return end;
  }

  onPeerLost(listener: (peer: NodeId) => void): void {
    this.lostListeners.push(listener);
  }

  async start(): Promise<void> {
    assert(this.state === 'new', 'a network starts once');
    const { listen, scheduler, tls } = this.options;
    const injector = this.server.createConnectionInjector(serverCredentials(tls));
    this.listener = new PeerListener(injector, scheduler, this.directLanes);
    this.port = await this.listener.listen(listen.host, listen.port);
    this.state = 'running';
    for (const [peer, address] of this.addresses) this.dial(peer, address);
  }

  isConnected(peer: NodeId): boolean {
    return this.links.get(peer)?.connected ?? false;
  }

  send(to: NodeId, lane: Lane, frame: Buffer): boolean {
    return this.links.get(to)?.send(lane, frame) ?? false;
  }

  queuedBytes(to: NodeId, lane: Lane): number {
    return this.links.get(to)?.queuedBytes(lane) ?? 0;
  }

  async stream(
    to: NodeId,
    kind: string,
    header: Buffer,
    frames: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    const address = this.addresses.get(to);
    if (address === undefined) throw new StreamBrokenError(`no address of node ${to} is known`);
    const { tls } = this;
    const admit = (peer: PeerIdentity): Promise<void> | undefined => this.admit(peer);
    return sendStream({ self: this.identity(), to, address, tls, kind, header, frames, signal, admit });
  }

  async stop(): Promise<void> {
    this.state = 'stopped';
    this.listener?.close();
    for (const link of this.links.values()) link.close();
    this.links.clear();
    const stopped = new StreamBrokenError(GOODBYE);
    for (const end of this.outboundDuplexes.keys()) end.fail(stopped, true);
    for (const [end, call] of this.inboundDuplexes) {
      end.fail(stopped);
      call.emit('error', { code: grpc.status.UNAVAILABLE, details: GOODBYE });
    }
    // Said on every open call before it is cut, so that the peers know a stop from a failure.
    const calls = [...this.inbound.values()];
    this.inbound.clear();
    for (const call of calls) call.emit('error', { code: grpc.status.UNAVAILABLE, details: GOODBYE });
    await new Promise<void>((resolve) => {
      const cancel = this.options.scheduler.after(GOODBYE_MS, resolve);
      this.server.tryShutdown(() => {
        cancel();
        resolve();
      });
    });
    this.server.forceShutdown();
    await this.listener?.end(GOODBYE_MS);
  }

  private dial(peer: NodeId, address: string): void {
    const { clock, random, scheduler, logger } = this.options;
    const link = new PeerLink({
      self: () => this.identity(),
      peer,
      address,
      clock,
      random,
      scheduler,
      logger,
      tls: this.tls,
      admit: (other) => this.admit(other),
      onAccepted: (other) => {
        for (const listener of this.acceptedListeners) listener(other);
      },
      onRefused: (refusal) => {
        for (const listener of this.refusedListeners) listener(refusal);
      },
      onLost: (other) => this.tellLost(other),
    });
    this.links.set(peer, link);
    link.connect();
  }

  private identity(): OwnIdentity {
    const { self, life } = this;
    const { clusterName, admission, secret } = this.options;
    return { clusterName, nodeId: self, life, secret, ...admission.introduction() };
  }

  /** See `PeerAdmission.admit`. @throws PeerRefusedError */
  private admit(peer: PeerIdentity): Promise<void> | undefined {
    const admitted = this.options.admission.admit(peer.nodeId, peer);
    // A first meeting is none of two that take turns.
    if (admitted === undefined && this.processTurns.isTwice(peer.nodeId, peer.life)) {
      throw new PeerRefusedError(
        `two processes run with the data folder of node ${peer.nodeId}: one of the two folders is a copy. Stop the one that ` +
          'is not meant, and delete its folder',
        'twice',
      );
    }
    return admitted;
  }

  /** Ends what is open with a peer; another data folder of it may be there. */
  private cutOff(peer: NodeId, error: PeerRefusedError): void {
    const address = this.addresses.get(peer);
    this.removePeer(peer);
    for (const lane of FRAME_LANES) {
      const call = this.inbound.get(`${peer}/${lane}`);
      this.inbound.delete(`${peer}/${lane}`);
      call?.emit('error', refusalOf(error));
    }
    if (address !== undefined) this.setPeer(peer, address);
  }

  private tellLost(peer: NodeId): void {
    if (this.state !== 'running') return;
    if (this.lost.size === 0) {
      this.options.scheduler.endOfTurn(() => {
        const lost = this.lost;
        this.lost = new Set();
        for (const each of lost) for (const listener of this.lostListeners) listener(each);
      });
    }
    this.lost.add(peer);
  }

  /** @throws PeerRefusedError when the certificate is not one of a node */
  private checkName(peer: NodeId, call: Pick<FramesCall, 'getAuthContext'>): void {
    const { nodeNames = [] } = this.options;
    if (nodeNames.length === 0) return;
    const names = namesOfCaller(call.getAuthContext());
    if (names.some((name) => nodeNames.includes(name))) return;
    throw new PeerRefusedError(
      `the certificate of ${JSON.stringify(names.join(', '))} is not one of a node, so its holder cannot be node ${peer}: ` +
        'see grpc.tls.nodeNames',
    );
  }

  /** Goes on with a call of a peer once its introduction is accepted, or ends it. */
  private accept(call: IncomingCall, serve: (peer: NodeId) => void, end: (status: RefusalStatus) => void): void {
    call.on('error', () => {});
    const refuse = (error: unknown): void => {
      const { message } = error as Error;
      this.options.logger?.warn({ address: call.getPeer(), error: message }, 'refused a call of a peer');
      end(refusalOf(error as Error));
    };
    try {
      const peer = checkCaller(call.metadata, this.identity());
      this.checkName(peer.nodeId, call);
      const admitted = this.admit(peer);
      if (admitted === undefined) serve(peer.nodeId);
      else
        admitted
          .then(() => {
            if (this.state === 'running' && !call.cancelled) serve(peer.nodeId);
          })
          .catch(refuse);
    } catch (error) {
      refuse(error);
    }
  }

  private serveFrames(call: FramesCall): void {
    const serve = (peer: NodeId): void => this.takeFrames(call, peer, laneOfCall(call.metadata));
    this.accept(call, serve, (status) => call.emit('error', status));
  }

  private takeFrames(call: FramesCall, peer: NodeId, lane: Lane): void {
    const key = `${peer}/${lane}`;
    const older = this.inbound.get(key);
    this.inbound.set(key, call);
    older?.emit('error', { code: grpc.status.ABORTED, details: 'a newer connection took the place of this one' });
    const assembler = new FrameAssembler();
    const take = (frame: Buffer): void => this.frameHandlers.get(lane)?.(peer, frame);
    const receive = (batch: Buffer): void => {
      if (this.inbound.get(key) !== call) return;
      try {
        assembler.receive(batch, take);
      } catch (error) {
        if (!(error instanceof MalformedFrameError)) throw error;
        call.emit('error', { code: grpc.status.INVALID_ARGUMENT, details: error.message });
      }
    };
    call.on('data', receive);
    const direct = this.offerDirect(call, lane, receive);
    const ended = (): void => {
      if (direct !== undefined) this.endDirect(direct);
      if (this.inbound.get(key) !== call) return;
      this.inbound.delete(key);
      this.tellLost(peer);
    };
    call.on('cancelled', ended);
    call.on('close', ended);
    call.on('end', () => {
      ended();
      call.end();
    });
    const answer = answerTo(call.metadata, this.identity());
    if (direct !== undefined) offerDirect(answer, direct.ticket);
    call.sendMetadata(answer);
    // A node that has just been started waits for those who lead.
    this.links.get(peer)?.peerIsThere();
  }

  /** Offers a lane a connection of its own. Control messages are few, and have one already. */
  private offerDirect(call: FramesCall, lane: Lane, take: (message: Buffer) => void): InboundLane | undefined {
    return lane !== 'control' && asksDirect(call.metadata) ? this.directLanes.offer(take) : undefined;
  }

  /** A call has ended. Its connection goes a moment later, so that the caller hears by the call why. */
  private endDirect(direct: InboundLane): void {
    this.directLanes.withdraw(direct);
    direct.close((socket) => {
      this.options.scheduler.after(GOODBYE_MS, () => socket.destroy());
    });
  }

  private serveStream(call: StreamCall, answer: grpc.sendUnaryData<Buffer>): void {
    const serve = (peer: NodeId): void => {
      const kind = kindOfCall(call.metadata);
      const handler = this.streamHandlers.get(kind);
      if (handler === undefined) throw new PeerRefusedError(`nobody takes streams of kind ${kind}`);
      call.sendMetadata(answerTo(call.metadata, this.identity()));
      receiveStream(call, peer, handler).then(
        (bytes) => answer(null, bytes),
        (error: unknown) =>
          answer({ code: grpc.status.ABORTED, details: error instanceof Error ? error.message : String(error) }),
      );
    };
    this.accept(call, serve, answer);
  }

  private serveDuplex(call: DuplexCall): void {
    const { clock, scheduler } = this.options;
    const serve = (from: NodeId): void => {
      const kind = kindOfCall(call.metadata);
      const handler = this.duplexHandlers.get(kind);
      if (handler === undefined) throw new PeerRefusedError(`nobody takes two-way streams of kind ${kind}`);
      const onReleased = (): void => {
        this.inboundDuplexes.delete(end);
      };
      const end: DuplexEnd = serveDuplex({ self: this.identity(), from, call, handler, clock, scheduler, onReleased });
      this.inboundDuplexes.set(end, call);
    };
    this.accept(call, serve, (status) => call.emit('error', status));
  }
}
