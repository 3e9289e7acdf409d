/** Carries out the planned faults on the cluster, and mends everything at the end. */
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import {
  type GroupId,
  type NodeId,
  nodeId,
  SeededRandom,
  type SimFabric,
  type Simulation,
} from '../../../src/platform/index.ts';
import type { RaftGroup } from '../../../src/raftengine/contract/types.ts';
import type { ConfState } from '../../../src/raftengine/core/types.ts';
import { encodeAddresses } from '../../../src/raftengine/wire/peer-addresses.ts';
import { addressOf, type ClusterNode, type Loss } from './cluster-node.ts';
import type { FaultKind, PlannedFault } from './plan.ts';

const MAX_CLOCK_OFFSET_MS = 10_000;
/** How far clocks are wrong at most that are wrong by far: minutes, an hour, a day, ten years. */
const FAR_OFFSETS_MS = [300_000, 3_600_000, 86_400_000, 315_360_000_000];
/** Share of the jumps that go far. */
const FAR_SHARE = 0.5;
/** Half of the drift that leases allow for between two nodes. */
const MAX_DRIFT_PPM = 450;
const RETRY_MS = 200;
/** The node that was asked for a change may be gone, and its promise with it. */
const PATIENCE_MS = 3000;
/** A change that was proposed before may still come through within this, once everything works. */
const SETTLE_MS = 2000;

const LOSSES: readonly Loss[] = ['folder', 'folder', 'log', 'segments'];

type Heal = () => void;
type IsCut = (from: NodeId, to: NodeId) => boolean;

export interface NemesisOptions {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly nodes: readonly ClusterNode[];
  /** All that are there now. */
  readonly groups: () => readonly GroupId[];
  readonly say: (line: string) => void;
  /** Told when a fault begins and when it is healed, by the names of the runner of real processes; `heal-` stands in front of the latter. */
  readonly onFault: (name: string) => void;
}

/** What a checker of listeners is told of faults; left out is what excuses nothing. */
const NAMES_OF_FAULTS: Readonly<Partial<Record<FaultKind, string>>> = {
  partition: 'partition',
  noise: 'network-lossy',
  slowNode: 'pause',
  breakConnections: 'network-lossy',
  pause: 'pause',
  crash: 'kill',
  crashAll: 'all',
  diskFull: 'disk',
  diskError: 'disk',
  clockJump: 'clock',
  clockDrift: 'clock',
  membership: 'all',
  lostDisk: 'all',
};

export class Nemesis {
  private readonly options: NemesisOptions;
  private readonly cuts = new Set<IsCut>();
  /** The node that is out of the groups or on its way back; one at a time. */
  private outsider: ClusterNode | undefined;
  private isOver = false;
  /** Replaces a node that has lost a part of its disk. */
  private replaceLost: () => Promise<void> = async () => undefined;

  constructor(options: NemesisOptions) {
    this.options = options;
  }

  plan(faults: readonly PlannedFault[]): void {
    const { simulation, say, onFault } = this.options;
    for (const [at, fault] of faults.entries())
      simulation.schedule(fault.atMs, `fault ${fault.kind}`, () => {
        if (this.isOver) return;
        const name = NAMES_OF_FAULTS[fault.kind];
        if (name !== undefined) onFault(`${name}-${at}`);
        const heal = this.inject(fault);
        simulation.schedule(fault.lastsMs, `heal ${fault.kind}`, () => {
          if (this.isOver) return;
          say(`heal ${fault.kind}`);
          heal();
          if (name !== undefined) onFault(`heal-${name}-${at}`);
        });
      });
  }

  /** Ends all faults; memberships are restored apart, since that takes a working cluster. */
  healAll(): void {
    const { fabric, nodes, simulation } = this.options;
    this.isOver = true;
    this.cuts.clear();
    this.applyCuts();
    fabric.links.setAll({ minDelayMs: 0.1, maxDelayMs: 0.5, lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    for (const node of nodes) {
      this.mendDisk(node);
      node.machine.pauseFor(0);
      node.start();
    }
    simulation.note(0);
  }

  /** The node that leads a group, by the highest term. */
  leader(group: GroupId): ClusterNode | undefined {
    let found: ClusterNode | undefined;
    let newest = 0;
    for (const node of this.options.nodes) {
      const status = node.raft(group)?.status();
      if (status?.role !== 'leader' || status.term < newest) continue;
      newest = status.term;
      found = node;
    }
    return found;
  }

  // ---- faults

  private inject(fault: PlannedFault): Heal {
    const { fabric, nodes, say } = this.options;
    const random = new SeededRandom(fault.seed);
    const groups = this.options.groups();
    const group = groups[random.int(groups.length)]!;
    const leader = this.leader(group);
    const node = leader !== undefined && random.next() < 0.5 ? leader : nodes[random.int(nodes.length)]!;
    say(`fault ${fault.kind} around node ${node.id} for ${fault.lastsMs.toFixed(0)} ms`);
    switch (fault.kind) {
      case 'partition':
        return this.cut(this.drawShape(random, node));
      case 'noise':
        fabric.links.setAll({
          lossRate: random.next() * 0.3,
          duplicateRate: random.next() * 0.2,
          reorderRate: random.next() * 0.3,
          maxDelayMs: [1, 20, 200][random.int(3)]!,
        });
        return () => fabric.links.setAll({ lossRate: 0, duplicateRate: 0, reorderRate: 0, maxDelayMs: 0.5 });
      case 'slowNode':
        return this.slowDown(node, 20 + random.next() * 400);
      case 'breakConnections':
        fabric.breakAll(node.id);
        return () => fabric.breakAll(node.id);
      case 'pause':
        // The other half of them sleep with their machine: a clock of theirs stands still too.
        if (random.next() < 0.5) node.machine.pauseFor(fault.lastsMs);
        else for (const { machine } of random.next() < 0.3 ? nodes : [node]) machine.suspendFor(fault.lastsMs);
        return () => undefined;
      case 'crash':
        return this.crash([node], random.next() < 0.7);
      case 'crashAll':
        return this.crash(nodes, random.next() < 0.7);
      case 'diskFull':
        node.hasDiskFault = true;
        node.machine.disk.isFull = true;
        node.machine.disk.copiesOnWrite = random.next() < 0.3;
        return () => this.mendDisk(node);
      case 'diskError':
        node.hasDiskFault = true;
        node.machine.disk.failsSyncs = true;
        return () => this.mendDisk(node);
      case 'slowDisk':
        node.machine.disk.slowness = 10 + random.next() * 500;
        return () => {
          node.machine.disk.slowness = node.diskSlowness;
        };
      case 'clockJump':
        this.jumpClock(node, random);
        return () => undefined;
      case 'clockDrift':
        node.machine.clock.setDriftPpm((random.next() * 2 - 1) * MAX_DRIFT_PPM);
        return () => undefined;
      case 'transfer':
        leader
          ?.raft(group)
          ?.transferLeadership(nodes[random.int(nodes.length)]!.id)
          .catch((error: Error) => say(`transfer: ${error.message}`));
        return () => undefined;
      case 'membership':
        return this.takeOut(node, random);
      case 'lostDisk':
        return this.loseDisk(node, fault.lastsMs, random);
    }
  }

  /** Far jumps are those of a minority: what most clocks show is the time, whatever that is. */
  private jumpClock(node: ClusterNode, random: SeededRandom): void {
    const draw = random.next() * 2 - 1;
    const misled = this.options.nodes[random.int((this.options.nodes.length - 1) >> 1)];
    if (misled === undefined || random.next() >= FAR_SHARE) node.setClockOffset(draw * MAX_CLOCK_OFFSET_MS);
    else misled.setClockOffset(draw * FAR_OFFSETS_MS[random.int(FAR_OFFSETS_MS.length)]!);
  }

  private drawShape(random: SeededRandom, node: ClusterNode): IsCut {
    const { nodes } = this.options;
    const shuffled = nodes.map(({ id }) => ({ id, draw: random.next() })).sort((a, b) => a.draw - b.draw);
    const order = new Map(shuffled.map(({ id }, at) => [id, at]));
    const place = (id: NodeId): number => order.get(id)!;
    const { length } = nodes;
    const middle = length >> 1;
    const spared = nodes[random.int(length)]!.id;
    switch (random.int(9)) {
      case 0:
        return (from, to) => place(from) <= middle !== place(to) <= middle;
      case 1: {
        // A minority that keeps a friend.
        const friend = spared;
        const isInside = (id: NodeId): boolean => id === node.id || id === friend;
        return (from, to) => isInside(from) !== isInside(to);
      }
      case 2:
        // It hears nobody, or all but one.
        return (from, to) => to === node.id && from !== spared;
      case 3:
        return (from, to) => from === node.id && to !== spared;
      case 4:
        // A ring: everybody reaches the next and the one before.
        return (from, to) =>
          ![1, length - 1].includes((place(from) - place(to) + length) % length) ||
          (length < 4 && place(from) + place(to) === 2);
      case 5:
        // A bridge: one node reaches both halves.
        return (from, to) =>
          place(from) !== middle && place(to) !== middle && place(from) < middle !== place(to) < middle;
      case 6:
        // A majority of none.
        return () => true;
      default:
        return (from, to) => from === node.id || to === node.id;
    }
  }

  private cut(isCut: IsCut): Heal {
    this.cuts.add(isCut);
    this.applyCuts();
    return () => {
      this.cuts.delete(isCut);
      this.applyCuts();
    };
  }

  private applyCuts(): void {
    const { fabric, nodes } = this.options;
    for (const { id: from } of nodes)
      for (const { id: to } of nodes)
        if (from !== to)
          fabric.setCut(
            from,
            to,
            [...this.cuts].some((isCut) => isCut(from, to)),
          );
  }

  private slowDown(node: ClusterNode, maxDelayMs: number): Heal {
    const { fabric, nodes } = this.options;
    const set = (most: number): void => {
      for (const { id } of nodes) {
        if (id === node.id) continue;
        fabric.links.set(node.id, id, { maxDelayMs: most });
        fabric.links.set(id, node.id, { maxDelayMs: most });
      }
    };
    set(maxDelayMs);
    return () => set(0.5);
  }

  private crash(nodes: readonly ClusterNode[], losePower: boolean): Heal {
    for (const node of nodes) {
      node.isHeldDown = true;
      node.crash(losePower);
    }
    return () => {
      for (const node of nodes) node.start();
    };
  }

  private mendDisk(node: ClusterNode): void {
    const { disk } = node.machine;
    disk.isFull = false;
    disk.copiesOnWrite = false;
    disk.failsSyncs = false;
    disk.slowness = node.diskSlowness;
    // What was under way may still fail with the fault's error.
    this.options.simulation.schedule(2000, 'disk forgotten', () => {
      if (!disk.isFull && !disk.failsSyncs) node.hasDiskFault = false;
    });
  }

  // ---- membership

  /** Takes a node out of all groups, one after another. */
  private takeOut(node: ClusterNode, random: SeededRandom): Heal {
    const { say, nodes } = this.options;
    const groups = this.options.groups();
    if (this.outsider !== undefined || nodes.length < 3) return () => undefined;
    this.outsider = node;
    const isDemoted = random.next() < 0.3;
    const isWiped = !isDemoted && random.next() < 0.5;
    let isHealed = false;
    const mayWipe = (): boolean => isWiped && !isHealed && !this.isOver;
    const remove = async (): Promise<void> => {
      for (const group of groups) {
        const raft = this.leader(group)?.raft(group);
        if (raft === undefined || isHealed || this.isOver) return;
        await this.change(raft, isDemoted ? 'addLearner' : 'remove', node.id);
      }
    };
    const removed = remove().then(
      async () => {
        say(`node ${node.id} is ${isDemoted ? 'a learner' : 'out'}`);
        // The removal was committed by a majority that counted the removed node: what it holds may be forgotten only once all
        // others have applied it. A stale member would win the vote of a node that came back empty.
        while (mayWipe() && !this.isForgotten(node)) await this.options.simulation.delay(RETRY_MS, 'membership');
        if (!mayWipe()) return;
        node.isHeldDown = true;
        await this.strikeOff(node, node.wipe());
      },
      (error: Error) => say(`membership: ${error.message}`),
    );
    const bringBack = async (): Promise<void> => {
      await Promise.race([removed, this.options.simulation.delay(PATIENCE_MS, 'membership patience')]);
      isHealed = true;
      if (node.isHeldDown && isWiped) node.start();
      await this.takeBack(node);
    };
    return () => {
      bringBack().catch((error: Error) => say(`membership: ${error.message}`));
    };
  }

  /**
   * A node is down and misses what the others do; then all go down, one of them loses a part of its disk, and the two come back
   * first, in any order: nobody who was there remembers anything but its disk. Once the rest is back the node is replaced.
   */
  private loseDisk(victim: ClusterNode, lastsMs: number, random: SeededRandom): Heal {
    const { nodes, simulation, say } = this.options;
    const isBusy = nodes.some((node) => node.isHeldDown || node.hasDiskFault);
    if (this.outsider !== undefined || nodes.length < 3 || isBusy) return () => undefined;
    this.outsider = victim;
    const others = nodes.filter((node) => node !== victim);
    const behind = others.slice(0, nodes.length >> 1);
    const kind = LOSSES[random.int(LOSSES.length)]!;
    const old = victim.folder;
    const isFirst = random.next() < 0.5;
    let isLost = false;
    for (const node of behind) this.hold(node);
    const lose = (): void => {
      if (isLost) return;
      isLost = true;
      for (const node of others) this.hold(node);
      say(`node ${victim.id} loses its ${kind}`);
      victim.isHeldDown = true;
      victim.lose(kind);
      for (const node of isFirst ? [victim, ...behind] : [...behind, victim])
        simulation.schedule(random.next() * 200, 'comes back', () => node.start());
    };
    simulation.schedule(lastsMs / 2, 'a disk is lost', lose);
    this.replaceLost = async () => {
      this.replaceLost = async () => undefined;
      lose();
      for (const node of others) node.start();
      victim.start();
      while (victim.endedWith === undefined) await simulation.delay(RETRY_MS, 'the node finds out');
      say(`node ${victim.id} has ended with ${victim.endedWith}`);
      for (const group of this.options.groups()) await this.leave(victim, group);
      await this.strikeOff(victim, old);
      victim.wipe();
      victim.start();
      await this.takeBack(victim);
    };
    return () => {
      this.replaceLost().catch((error: Error) => say(`a lost disk: ${error.message}`));
    };
  }

  private hold(node: ClusterNode): void {
    node.isHeldDown = true;
    node.crash(true);
  }

  /** Takes a node out of a group, however long it takes. */
  private async leave(node: ClusterNode, group: GroupId): Promise<void> {
    for (;;) {
      const raft = this.leader(group)?.raft(group);
      const conf = raft?.status().conf;
      const isMember = conf === undefined || conf.voters.includes(node.id) || conf.votersOutgoing.includes(node.id);
      if (!isMember) return;
      if (raft !== undefined)
        await Promise.race([
          this.change(raft, 'remove', node.id),
          this.options.simulation.delay(PATIENCE_MS, 'membership patience'),
        ]).catch((error: Error) => this.options.say(`membership: ${error.message}`));
      await this.options.simulation.delay(RETRY_MS, 'membership');
    }
  }

  /** Tells the catalog that an incarnation will not come back; before that it takes no other one of the node. */
  private async strikeOff(node: ClusterNode, incarnation: Buffer): Promise<void> {
    const { nodes, simulation, say } = this.options;
    const { id } = node;
    for (;;) {
      const other = nodes.find((each) => each !== node && each.isUp);
      const asked = other?.process?.node.catalog.run({ kind: 'removeNode', nodeId: id, incarnation }, PATIENCE_MS);
      const outcome = asked?.then(
        () => true,
        (error: Error) => error instanceof CatalogError && error.code === 'NODE_NOT_FOUND',
      );
      if (await Promise.race([outcome, simulation.delay(2 * PATIENCE_MS, 'membership patience')])) break;
      await simulation.delay(RETRY_MS, 'membership');
    }
    say(`node ${id} is struck off`);
  }

  private isForgotten(node: ClusterNode): boolean {
    const isOut = (conf: ConfState | undefined): boolean => conf !== undefined && !conf.voters.includes(node.id);
    const { nodes, groups } = this.options;
    return nodes.every(
      (other) => other.id === node.id || groups().every((group) => isOut(other.raft(group)?.status().conf)),
    );
  }

  /** Makes a node a voter of all groups again, however long it takes. */
  private async takeBack(node: ClusterNode): Promise<void> {
    const { groups, simulation } = this.options;
    for (const group of groups()) {
      // One that was removed meanwhile takes nobody back.
      while (groups().includes(group) && !(await this.isVoter(node, group))) {
        await simulation.delay(RETRY_MS, 'membership');
      }
    }
    if (this.outsider === node) this.outsider = undefined;
  }

  private async isVoter(node: ClusterNode, group: GroupId): Promise<boolean> {
    const raft = this.leader(group)?.raft(group);
    if (raft === undefined) return false;
    const { conf } = raft.status();
    if (conf.votersOutgoing.length > 0) return false;
    if (conf.voters.includes(node.id)) return true;
    await Promise.race([
      this.change(raft, conf.learners.includes(node.id) ? 'addVoter' : 'addLearner', node.id),
      this.options.simulation.delay(PATIENCE_MS, 'membership patience'),
    ]).catch((error: Error) => this.options.say(`membership: ${error.message}`));
    return false;
  }

  private change(raft: RaftGroup, kind: 'addVoter' | 'addLearner' | 'remove', id: number): Promise<unknown> {
    const context = encodeAddresses([[nodeId(id), addressOf(id)]]);
    return raft.changeMembership([{ kind, nodeId: nodeId(id) }], context);
  }

  /** Makes every node a voter; settles when they are, and stay so. */
  async restoreMembership(): Promise<void> {
    const { nodes, groups, simulation } = this.options;
    const isWhole = (group: GroupId): boolean =>
      this.leader(group)?.raft(group)?.status().conf.voters.length === nodes.length;
    await this.replaceLost();
    do {
      for (const node of nodes) await this.takeBack(node);
      await simulation.delay(SETTLE_MS, 'membership settles');
    } while (!groups().every(isWhole));
  }
}
