/** One contract for every network: over gRPC, simulated, counted, and the wire of the tests of `src/kv`. */
import assert from 'node:assert/strict';
import {
  MeasuredNetwork,
  type NodeId,
  nodeId,
  type PeerNetwork,
  SimFabric,
  SimMachine,
  Simulation,
  SystemClock,
  SystemRandom,
  SystemScheduler,
} from '../../../src/platform/index.ts';
import { PeerBook } from '../../../src/raftengine/founding/peer-book.ts';
import { createGrpcNetwork, type GrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import { KeptInMemory } from '../../support/kept-peers.ts';
import { type NetworkWorld, peerNetworkContract } from '../../support/peer-network-contract.ts';
import { until } from '../../support/until.ts';
import { Wire } from '../../support/wire.ts';
import { StallingProxy } from './stalling-proxy.ts';

/** Longest that anything may take, real or simulated. */
const PATIENCE_MS = 20_000;

/** What nodes know of others outlives their processes. */
class Books {
  private readonly kept = new Map<string, KeptInMemory>();

  of(id: number, folder: string): PeerBook {
    const name = `${id} ${folder}`;
    const kept = this.kept.get(name) ?? new KeptInMemory(folder);
    this.kept.set(name, kept);
    return new PeerBook(nodeId(id), kept, (error) => {
      throw error;
    });
  }
}

/** Every address is a proxy of its own, so that connections can be broken and held. */
class GrpcWorld implements NetworkWorld {
  private readonly books = new Books();
  private readonly networks = new Map<number, GrpcNetwork>();
  private readonly ports = new Map<number, number>();
  private readonly all: GrpcNetwork[] = [];
  private readonly proxies: { readonly to: number; readonly proxy: StallingProxy }[] = [];

  add(id: number, folder: string): PeerNetwork {
    const before = this.networks.get(id);
    if (before !== undefined) this.ports.set(id, before.port);
    const network = createGrpcNetwork({
      self: nodeId(id),
      clusterName: 'test',
      admission: this.books.of(id, folder),
      listen: { host: '127.0.0.1', port: this.ports.get(id) ?? 0 },
      clock: new SystemClock(),
      random: new SystemRandom(),
      scheduler: new SystemScheduler(),
    });
    this.networks.set(id, network);
    this.all.push(network);
    return network;
  }

  async addressOf(id: number): Promise<string> {
    const proxy = await StallingProxy.before(this.networks.get(id)!.port);
    this.proxies.push({ to: id, proxy });
    return `127.0.0.1:${proxy.port}`;
  }

  until = (condition: () => boolean): Promise<void> => until(condition, PATIENCE_MS);

  breakBetween = (a: number, b: number): void => {
    for (const { to, proxy } of this.proxies) if (to === a || to === b) proxy.destroyAll();
  };

  hold(_from: number, to: number): void {
    for (const held of this.proxies) if (held.to === to) held.proxy.stall();
  }

  async dispose(): Promise<void> {
    await Promise.all(this.all.map((network) => network.stop()));
    await Promise.all(this.proxies.map(({ proxy }) => proxy.close()));
  }
}

class SimulatedWorld implements NetworkWorld {
  private readonly simulation = new Simulation({ seed: 1 });
  private readonly fabric = new SimFabric(this.simulation);
  private readonly machines = new Map<NodeId, SimMachine>();
  private readonly books = new Books();
  private readonly hasFolders: boolean;
  private readonly wrap: (network: PeerNetwork) => PeerNetwork;
  private addresses = 0;

  constructor(wrap: (network: PeerNetwork) => PeerNetwork = (network) => network, hasFolders = true) {
    this.wrap = wrap;
    this.hasFolders = hasFolders;
  }

  add(id: number, folder: string): PeerNetwork {
    const node = nodeId(id);
    const machine = this.machines.get(node) ?? new SimMachine(this.fabric, node);
    this.machines.set(node, machine);
    if (this.hasFolders) machine.network.introduceWith(this.books.of(id, folder));
    return this.wrap(machine.network);
  }

  async addressOf(id: number): Promise<string> {
    return `n${id}:${++this.addresses}`;
  }

  until = async (condition: () => boolean): Promise<void> => {
    for (let ms = 0; !condition(); ms++) {
      assert.ok(ms < PATIENCE_MS, `not reached: ${condition.toString()}`);
      await this.simulation.runFor(1);
    }
  };

  breakBetween = (a: number, b: number): void => this.fabric.breakConnection(nodeId(a), nodeId(b));

  hold(from: number, to: number): void {
    this.fabric.links.set(nodeId(from), nodeId(to), { bytesPerMs: 1 });
  }

  async dispose(): Promise<void> {}
}

/** Nothing happens on a wire but by `deliver`. */
class WireWorld implements NetworkWorld {
  private readonly wire = new Wire();
  private addresses = 0;

  add(id: number): PeerNetwork {
    return this.wire.end(id);
  }

  async addressOf(id: number): Promise<string> {
    return `n${id}:${++this.addresses}`;
  }

  until = async (condition: () => boolean): Promise<void> => {
    for (let turn = 0; !condition(); turn++) {
      assert.ok(turn < 10_000, `not reached: ${condition.toString()}`);
      this.wire.deliver();
      for (let settling = 0; settling < 20; settling++) await undefined;
    }
  };

  breakBetween = (a: number, b: number): void => this.wire.breakBetween(a, b);

  hold(from: number, to: number): void {
    this.wire.held.add(`${from}>${to}`);
  }

  async dispose(): Promise<void> {}
}

peerNetworkContract('a network over gRPC', async () => new GrpcWorld(), { hasFolders: true });
peerNetworkContract('a simulated network', async () => new SimulatedWorld(), { hasFolders: true });
peerNetworkContract(
  'a network that is counted',
  async () => new SimulatedWorld((network) => new MeasuredNetwork(network)),
  { hasFolders: true },
);
peerNetworkContract(
  'a simulated network that listens to everybody',
  async () => new SimulatedWorld((network) => network, false),
  { hasFolders: false, losesSilently: true },
);
peerNetworkContract('a wire', async () => new WireWorld(), { hasFolders: false });
