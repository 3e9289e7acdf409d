/**
 * Simulated nodes that watch one catalog. The catalog itself is a model outside the network; which node leads it, who believes
 * that, and how current the leader's copy is, is up to the test. Every publication is compared with the version's own routes.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { CatalogSource } from '../../../src/cluster/catalog/source.ts';
import { WatchClient } from '../../../src/cluster/catalog/watch-client.ts';
import { WatchServer } from '../../../src/cluster/catalog/watch-server.ts';
import type { CatalogState } from '../../../src/distribution/catalog/catalog-state.ts';
import { encodeRoute } from '../../../src/distribution/contract/catalog-rows.ts';
import { RouteEngine } from '../../../src/distribution/routes/route-engine.ts';
import type { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import { type NodeId, nodeId, SimFabric, SimMachine, Simulation, type Term } from '../../../src/platform/index.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';

/** A source whose state is set by hand. */
export class HandSource implements CatalogSource {
  state: CatalogState | undefined;
  leaderTerm = 0 as Term;
  slowest: () => number | undefined = () => undefined;
  private readonly listeners = new Set<() => void>();

  set(state: CatalogState | undefined, term: number = this.leaderTerm): void {
    this.state = state;
    this.leaderTerm = term as Term;
    for (const listener of this.listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  trackSlowestCursor(slowest: () => number | undefined): void {
    this.slowest = slowest;
  }
}

export interface WatchNode {
  readonly id: NodeId;
  readonly machine: SimMachine;
  readonly engine: RouteEngine;
  readonly source: HandSource;
  readonly server: WatchServer;
  readonly client: WatchClient;
  /** Whom the node takes for the leader. */
  belief: NodeId | undefined;
  /** Times at which versions became current, by `incarnation/version`. */
  readonly publishedMs: Map<string, number>;
}

/** Equal for equal routes in equal order. */
function digest(table: RouteTable): string {
  const hash = createHash('sha1');
  for (const route of table.all()) hash.update(encodeRoute(route));
  return hash.digest('hex');
}

const nameOf = (incarnation: number, version: number): string => `${incarnation}/${version}`;

export class WatchCluster {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly model: CatalogModel;
  readonly nodes = new Map<NodeId, WatchNode>();
  leader: NodeId | undefined;
  term = 0;
  private readonly machines = new Map<NodeId, SimMachine>();
  private readonly history = new Map<string, string>();

  constructor(seed: number, count: number, model: CatalogModel = CatalogModel.bootstrapped()) {
    this.simulation = new Simulation({ seed });
    this.fabric = new SimFabric(this.simulation);
    this.model = model;
    this.remember();
    for (let id = 1; id <= count; id++) this.machines.set(nodeId(id), new SimMachine(this.fabric, nodeId(id)));
    for (const id of this.machines.keys()) this.boot(id);
  }

  node(id: number): WatchNode {
    return this.nodes.get(nodeId(id))!;
  }

  /** Starts the node's process anew. */
  boot(id: NodeId): void {
    const machine = this.machines.get(id)!;
    const { network, clock, scheduler, random } = machine;
    for (const peer of this.machines.keys()) if (peer !== id) network.setPeer(peer, `node${peer}:1`);
    const engine = new RouteEngine(0);
    const source = new HandSource();
    const belief = (): NodeId | undefined => node.belief;
    const server = new WatchServer({ network, source, clock, scheduler, leader: belief });
    const client = new WatchClient({
      network,
      engine,
      clock,
      scheduler,
      random,
      leader: belief,
      localSource: source,
    });
    const publishedMs = new Map<string, number>();
    const node: WatchNode = { id, machine, engine, source, server, client, belief: this.leader, publishedMs };
    let newest = [0, 0];
    client.onPublished((table) => {
      const name = nameOf(table.incarnation, table.version);
      const wasOlder = table.incarnation > newest[0]! || table.version > newest[1]!;
      assert.ok(wasOlder, `node ${id} went back to ${name} (seed ${this.simulation.seed})`);
      newest = [table.incarnation, table.version];
      assert.equal(digest(table), this.history.get(name), `node ${id} shows ${name} (seed ${this.simulation.seed})`);
      publishedMs.set(name, this.simulation.nowMs());
    });
    this.nodes.set(id, node);
    network.start().then(() => client.start());
  }

  /** The routes of the newest version, for the comparison. */
  remember(): void {
    const { meta, routes } = this.model.state;
    if (meta !== undefined) this.history.set(nameOf(meta.incarnation, meta.version), digest(routes));
  }

  /** Makes commits, each of which is seen by the leader at once. */
  commit(change: (model: CatalogModel) => void, times = 1): void {
    for (let left = times; left > 0; left--) {
      this.model.nowMs += 1000;
      change(this.model);
      this.remember();
      if (this.leader !== undefined) this.nodes.get(this.leader)!.source.set(this.model.state);
    }
  }

  /** Splits somewhere new. */
  split(times = 1): void {
    this.commit((model) => model.split(`x${String(model.version).padStart(6, '0')}`), times);
  }

  /** The node has won an election and loaded the rows; it tells nobody. */
  lead(id: number): void {
    this.leader = nodeId(id);
    this.term += 1;
    this.node(id).source.set(this.model.reloaded(), this.term);
  }

  /** The node lost its leadership, and knows. */
  resign(id: number): void {
    if (this.leader === id) this.leader = undefined;
    this.node(id).source.set(undefined);
  }

  /** Everybody believes this, now. */
  believe(leader: number | undefined): void {
    for (const node of this.nodes.values()) node.belief = leader === undefined ? undefined : nodeId(leader);
  }

  isCurrent(node: WatchNode): boolean {
    const { current } = node.engine;
    const { meta } = this.model.state;
    return current.version === meta?.version && current.incarnation === meta.incarnation;
  }

  get allCurrent(): boolean {
    return [...this.nodes.values()].every((node) => this.isCurrent(node));
  }

  publishedMs(id: number): number | undefined {
    const { meta } = this.model.state;
    return this.node(id).publishedMs.get(nameOf(meta!.incarnation, meta!.version));
  }
}
