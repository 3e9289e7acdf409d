/**
 * A cluster in one process: virtual time, a network that loses, delays, duplicates and reorders, nodes that crash, sleep
 * and change their membership, clients that write and read. One seed decides everything, so a failure can be watched again.
 * The last part of every run is without faults: the cluster must then recover and serve.
 */
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { EMPTY_CONF, simpleConf } from '../../../src/raftengine/core/conf-changer.ts';
import { isVoter } from '../../../src/raftengine/core/quorum.ts';
import type { ConfChangeStep, Message } from '../../../src/raftengine/core/types.ts';
import { Checker, InvariantViolation } from './checker.ts';
import { EventQueue } from './event-queue.ts';
import { drawKnobs, FAULTS, type Fault, type Knobs, STORM } from './knobs.ts';
import { SimNode } from './sim-node.ts';

/** What a run came to; counts show that it was not idle. */
export interface RunReport {
  readonly seed: number;
  readonly steps: number;
  readonly committed: number;
  readonly elections: number;
  /** How often a node's replica went to rest. */
  readonly rests: number;
}

export class Simulation {
  readonly knobs: Knobs;
  readonly queue = new EventQueue();
  readonly checker = new Checker();
  readonly nodes: SimNode[] = [];
  private readonly seed: number;
  private readonly trace: ((line: string) => void) | undefined;
  private readonly network: SeededRandom;
  private readonly nemesis: SeededRandom;
  private readonly speeds: SeededRandom;
  private readonly clients: SeededRandom;
  /** `from * 64 + to` of links that carry nothing. */
  private readonly cuts = new Set<number>();
  private hasFaults = true;
  /** Messages are late and come twice. */
  private get isUnordered(): boolean {
    return this.hasFaults || this.knobs.staysLate;
  }
  private hasClients = true;
  private payloads = 0;

  constructor(seed: number, trace?: (line: string) => void) {
    this.seed = seed;
    this.trace = trace;
    const random = new SeededRandom(seed);
    this.knobs = drawKnobs(random);
    this.network = random.fork(1);
    this.nemesis = random.fork(2);
    this.speeds = random.fork(3);
    this.clients = random.fork(4);
    const { voters, learners, spares } = this.knobs;
    const ids = Array.from({ length: voters + learners + spares }, (_, position) => nodeId(position + 1));
    const conf = simpleConf(ids.slice(0, voters), ids.slice(voters, voters + learners));
    for (const id of ids) {
      const known = id <= voters + learners ? conf : EMPTY_CONF;
      this.nodes.push(new SimNode(this, id, known, random.fork(100 + id)));
    }
  }

  /** @throws InvariantViolation, AssertionError */
  run(): RunReport {
    const { stackTraceLimit } = Error;
    // Refusals are part of a run by the thousand, and a failing one is replayed with its trace: without it stacks would only cost.
    if (this.trace === undefined) Error.stackTraceLimit = 0;
    try {
      return this.play();
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  private play(): RunReport {
    this.trace?.(`seed ${this.seed} ${JSON.stringify(this.knobs)}`);
    for (const node of this.nodes) this.scheduleClient(node);
    if (this.knobs.voters === 1) this.scheduleGrowth();
    // A storm comes over the first leader.
    this.queue.after(this.isStormy() ? 1.5 * this.electionTimeoutMs() : 0, () => this.scheduleFault());
    let steps = 0;
    while (this.queue.runNext(this.knobs.durationMs)) {
      steps++;
      this.checker.checkLeases(this.nodes);
    }
    return {
      seed: this.seed,
      steps: steps + this.recover(),
      committed: this.checker.committedIndex,
      elections: this.checker.newestElectedTerm,
      rests: this.nodes.reduce((sum, node) => sum + node.rests, 0),
    };
  }

  /** Without faults a leader must be found, a new write be acknowledged and every member catch up. */
  private recover(): number {
    this.say('faults end');
    this.hasFaults = false;
    this.cuts.clear();
    for (const node of this.nodes) node.restart();
    const { electionTimeoutTicks, tickMs } = this.knobs.raft;
    const endMs = this.knobs.durationMs + electionTimeoutTicks * tickMs * 40 + this.catchUpMs();
    let steps = 0;
    let target: number | undefined;
    while (this.queue.runNext(endMs)) {
      steps++;
      this.checker.checkLeases(this.nodes);
      if (steps % 64 !== 0 || this.queue.nowMs < this.knobs.durationMs + electionTimeoutTicks * tickMs * 4) continue;
      target ??= this.checker.committedIndex + 3;
      if (this.checker.ackedIndex >= target && this.isCaughtUp(target)) return steps + this.comeToRest();
    }
    const states = this.nodes.map((node) => node.describe()).join(', ');
    throw new InvariantViolation('recovery', `no progress to ${target} after all faults ended: ${states}`);
  }

  /** A member may have to fetch everything, one entry at a time. */
  private catchUpMs(): number {
    const { electionTimeoutTicks, tickMs } = this.knobs.raft;
    const entryMs = 2 * this.knobs.diskDelayMs + 4 * this.knobs.networkDelayMs + electionTimeoutTicks * tickMs;
    return entryMs * Math.max(...this.nodes.map((node) => node.core.lastIndex));
  }

  /** Without faults and clients every replica goes to rest and stays there; the next write finds a leader. */
  private comeToRest(): number {
    const { quietAfterTicks, electionTimeoutTicks, tickMs } = this.knobs.raft;
    if (quietAfterTicks === 0 || this.hasOutsiders()) return 0;
    this.say('clients end');
    this.hasClients = false;
    const isAtRest = (): boolean => this.members().length > 0 && this.members().every((member) => member.core.isQuiet);
    const boundMs = (quietAfterTicks + 8 * electionTimeoutTicks) * tickMs + this.catchUpMs();
    // What was overtaken or held back may still arrive and wake somebody once more; then there is silence.
    let restsSinceMs = Number.POSITIVE_INFINITY;
    const isStill = (): boolean => {
      if (this.hasOutsiders()) return true;
      restsSinceMs = isAtRest() ? Math.min(restsSinceMs, this.queue.nowMs) : Number.POSITIVE_INFINITY;
      return this.queue.nowMs - restsSinceMs >= 4 * electionTimeoutTicks * tickMs;
    };
    const steps = this.runUntil(isStill, 2 * boundMs, 'the group does not stay at rest');
    const { ackedIndex } = this.checker;
    this.hasClients = true;
    return steps + this.runUntil(() => this.checker.ackedIndex > ackedIndex, boundMs, 'a group at rest does not serve');
  }

  private runUntil(isReached: () => boolean, withinMs: number, complaint: string): number {
    const endMs = this.queue.nowMs + withinMs;
    let steps = 0;
    while (!isReached()) {
      if (!this.queue.runNext(endMs)) {
        throw new InvariantViolation('rest', `${complaint}: ${this.nodes.map((node) => node.describe()).join(', ')}`);
      }
      steps++;
      this.checker.checkLeases(this.nodes);
    }
    return steps;
  }

  private members(): SimNode[] {
    const leader = this.nodes.find((node) => node.isLeader());
    const { voters, learners } = leader?.core.conf ?? EMPTY_CONF;
    return [...voters, ...learners].map((member) => this.nodes[member - 1]!);
  }

  /** Removed nodes that do not know it ask for votes for ever. */
  private hasOutsiders(): boolean {
    const members = this.members();
    return this.nodes.some((node) => !members.includes(node) && isVoter(node.core.conf, node.id));
  }

  private isCaughtUp(index: number): boolean {
    const leader = this.nodes.find((node) => node.isLeader());
    if (leader === undefined) return false;
    const { voters, learners } = leader.core.conf;
    return [...voters, ...learners].every((member) => this.nodes[member - 1]!.core.appliedIndex >= index);
  }

  private say(line: string): void {
    if (this.trace === undefined) return;
    this.trace(`${this.queue.nowMs.toFixed(2).padStart(9)} ${line}`);
  }

  // ---- speeds

  diskDelayMs(): number {
    return this.knobs.diskDelayMs * this.speeds.next() * (this.speeds.next() < 0.05 ? 5 : 1);
  }

  private isStormy(): boolean {
    return this.queue.nowMs < this.knobs.stormMs;
  }

  applyDelayMs(): number {
    return this.knobs.applyDelayMs * this.speeds.next();
  }

  private electionTimeoutMs(): number {
    return this.knobs.raft.electionTimeoutTicks * this.knobs.raft.tickMs;
  }

  // ---- network

  send(from: SimNode, message: Message): void {
    const snapshot = message.kind === 'snapshot' ? from.snapshot() : undefined;
    const sent: Message =
      message.kind === 'snapshot' && snapshot !== undefined ? { ...message, snapshot: snapshot.meta } : message;
    if (this.trace !== undefined) this.say(`${from.describe()}   ${describe(sent)}`);
    const copies = this.isUnordered && this.network.next() < this.knobs.duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.carry(from, sent, snapshot?.hash ?? 0);
  }

  /** How long a message or a beat travels. */
  private travelMs(): number {
    const { networkDelayMs, jitter, straggles } = this.knobs;
    const isLate = this.isUnordered && this.network.next() < straggles;
    const delayMs = networkDelayMs * (0.5 + jitter * this.network.next());
    return isLate ? delayMs + this.network.next() * 2 * this.electionTimeoutMs() : delayMs;
  }

  private carry(from: SimNode, message: Message, snapshotHash: number): void {
    const { networkDelayMs, loses } = this.knobs;
    const isLost = this.hasFaults && this.network.next() < loses;
    const delayMs = this.travelMs();
    const link = message.from * 64 + message.to;
    this.queue.after(delayMs, () => {
      const to = this.nodes[message.to - 1]!;
      const arrives = !isLost && !this.cuts.has(link) && to.isUp;
      if (arrives) to.receive(message, snapshotHash);
      if (message.kind === 'snapshot') {
        this.queue.after(networkDelayMs, () => from.tell((core) => core.reportSnapshot(message.to, arrives)));
      }
    });
  }

  sendBeats(from: SimNode, life: number): void {
    const { loses, duplicates } = this.knobs;
    for (const to of this.nodes) {
      if (to === from) continue;
      const copies = this.isUnordered && this.network.next() < duplicates ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        const isLost = this.hasFaults && this.network.next() < loses;
        const delayMs = this.travelMs();
        this.queue.after(delayMs, () => {
          if (!isLost && !this.cuts.has(from.id * 64 + to.id)) to.receiveBeat(from.id, life);
        });
      }
    }
  }

  // ---- clients

  private isLull(): boolean {
    const { lullMs } = this.knobs;
    return !this.hasClients || (this.hasFaults && lullMs > 0 && Math.floor(this.queue.nowMs / lullMs) % 2 === 1);
  }

  private scheduleClient(node: SimNode): void {
    const meanMs = this.hasFaults ? this.knobs.proposalMs : this.electionTimeoutMs();
    this.queue.after(meanMs * 2 * this.clients.next(), () => {
      if (node.isLeader() && !this.isLull()) {
        for (let count = 1 + this.clients.int(3); count > 0; count--) {
          const payload = Buffer.alloc(4 + this.clients.int(40));
          payload.writeUInt32BE(++this.payloads, 0);
          node.propose(payload);
        }
        if (this.clients.next() < 0.5) node.read();
      }
      this.scheduleClient(node);
    });
  }

  /** A group that began with one voter takes in three, and goes on from there when the nemesis takes some out again. */
  private scheduleGrowth(): void {
    this.queue.after(this.electionTimeoutMs() * this.nemesis.next(), () => {
      if (!this.hasFaults) return;
      const leader = this.nodes.find((node) => node.isLeader());
      if (leader !== undefined && leader.core.conf.voters.length < 3) this.grow(leader);
      this.scheduleGrowth();
    });
  }

  private grow(leader: SimNode): void {
    const { voters, learners } = leader.core.conf;
    const stranger = this.nodes.find(({ id }) => !voters.includes(id) && !learners.includes(id))?.id;
    const learner = learners[this.nemesis.int(Math.max(1, learners.length))];
    const isPromotion = learner !== undefined && (stranger === undefined || this.nemesis.next() < 0.7);
    const nodeToAdd = isPromotion ? learner : stranger;
    if (nodeToAdd === undefined) return;
    const steps: ConfChangeStep[] = [{ kind: isPromotion ? 'addVoter' : 'addLearner', nodeId: nodeToAdd }];
    leader.ask((core, now) => core.proposeConfChange({ steps, context: Buffer.alloc(0) }, now));
  }

  // ---- faults

  private scheduleFault(): void {
    const meanMs = this.isStormy() ? this.electionTimeoutMs() / 4 : this.knobs.faultMs;
    this.queue.after(meanMs * 2 * this.nemesis.next(), () => {
      if (!this.hasFaults) return;
      this.inject(this.drawFault());
      this.scheduleFault();
    });
  }

  private drawFault(): Fault {
    const weights = this.isStormy() ? STORM : this.knobs.weights;
    let total = 0;
    for (const fault of FAULTS) total += weights[fault];
    let draw = this.nemesis.int(total);
    for (const fault of FAULTS) {
      draw -= weights[fault];
      if (draw < 0) return fault;
    }
    return 'heal';
  }

  private anyNode(): SimNode {
    return this.nodes[this.nemesis.int(this.nodes.length)]!;
  }

  /** The leader half of the time, since most of what can go wrong starts there; in a storm, whose disk stands still. */
  private victim(): SimNode {
    const stalled = this.nodes.filter((node) => node.isDiskStalled);
    if (this.isStormy() && stalled.length > 0 && this.nemesis.next() < 0.5) {
      return stalled[this.nemesis.int(stalled.length)]!;
    }
    const leader = this.nodes.find((node) => node.isLeader());
    return leader !== undefined && this.nemesis.next() < 0.5 ? leader : this.anyNode();
  }

  private inject(fault: Fault): void {
    const node = this.victim();
    const span = this.nemesis.next() * this.nemesis.next() * 4 * this.electionTimeoutMs();
    this.say(`${fault} of ${node.describe()}`);
    switch (fault) {
      case 'crash':
        node.crash();
        this.queue.after(this.isStormy() || this.nemesis.next() < 0.4 ? 0 : span, () => node.restart());
        if (this.isStormy() && this.nemesis.next() < 0.7) this.revolt();
        break;
      case 'pause':
        node.pause(span);
        break;
      case 'split': {
        const side = this.nodes.map(() => this.nemesis.next() < 0.5);
        this.cutWhere((from, to) => side[from - 1] !== side[to - 1]);
        break;
      }
      case 'isolate':
        this.cutWhere((from, to) => from === node.id || to === node.id);
        break;
      case 'oneWay': {
        const hears = this.nemesis.next() < 0.5;
        const spares = this.anyNode().id;
        this.cutWhere((from, to) => (hears ? from : to) === node.id && from !== spares && to !== spares);
        break;
      }
      case 'narrow':
        this.narrow();
        break;
      case 'heal':
        this.cuts.clear();
        break;
      case 'confChange':
        node.ask((core, now) => core.proposeConfChange({ steps: this.drawSteps(node), context: Buffer.alloc(0) }, now));
        break;
      case 'transfer':
        node.ask((core, now) => core.transferLeadership(this.anyNode().id, now));
        break;
      case 'flush':
        for (const each of this.nodes) if (this.nemesis.next() < 0.7) each.flush(this.knobs.keepEntries);
        break;
      case 'campaign':
        // Two at once may share the votes of a term.
        for (const each of this.nemesis.next() < 0.5 ? [node] : [node, this.anyNode()])
          each.ask((core, now) => core.campaign(now));
        break;
      case 'unreachable':
        node.ask((core) => core.reportUnreachable(this.anyNode().id));
        break;
      case 'stall':
        node.ask((core) => core.skipElectionRound());
        break;
    }
  }

  /** The leader keeps a bare quorum, so that its lease hangs on every one of them; above all those whose disks stand still. */
  private narrow(): void {
    const leader = this.nodes.find((node) => node.isLeader());
    if (leader === undefined) return;
    const { voters } = leader.core.conf;
    const others = this.nodes.filter((node) => node !== leader && voters.includes(node.id));
    const rank = new Map(others.map((node) => [node, (node.isDiskStalled ? 0 : 1) + this.nemesis.next()]));
    others.sort((left, right) => rank.get(left)! - rank.get(right)!);
    const kept = new Set(others.slice(0, voters.length >> 1).map(({ id }) => id as number));
    this.cutWhere((from, to) => (from === leader.id && !kept.has(to)) || (to === leader.id && !kept.has(from)));
  }

  /** The leader is cut off, and the others stand for election at once: whoever forgot what it promised elects one of them. */
  private revolt(): void {
    const leader = this.nodes.find((node) => node.isLeader());
    this.cuts.clear();
    if (leader !== undefined) this.cutWhere((from, to) => from === leader.id || to === leader.id);
    for (const node of this.nodes) {
      const delayMs = this.nemesis.next() * this.electionTimeoutMs();
      if (node !== leader) this.queue.after(delayMs, () => node.ask((core, now) => core.campaign(now)));
    }
  }

  private cutWhere(isCut: (from: number, to: number) => boolean): void {
    if (this.nemesis.next() < 0.5) this.cuts.clear();
    for (const from of this.nodes) {
      for (const to of this.nodes) if (from !== to && isCut(from.id, to.id)) this.cuts.add(from.id * 64 + to.id);
    }
  }

  /** Mostly sensible changes: a stranger learns, a learner votes, a voter leaves, several of these at once. */
  private drawSteps(node: SimNode): ConfChangeStep[] {
    const { voters, learners } = node.core.conf;
    const steps: ConfChangeStep[] = [];
    const count = this.nemesis.next() < 0.5 ? 1 : 1 + this.nemesis.int(3);
    for (let step = 0; step < count; step++) {
      const other = this.anyNode().id;
      const draw = this.nemesis.next();
      if (learners.length > 0 && draw < 0.5) {
        steps.push({ kind: 'addVoter', nodeId: learners[this.nemesis.int(learners.length)]! });
      } else if (voters.includes(other) && voters.length > 2) {
        steps.push({ kind: draw < 0.7 ? 'remove' : 'addLearner', nodeId: other });
      } else {
        steps.push({ kind: 'addLearner', nodeId: other });
      }
    }
    return steps;
  }
}

function describe(message: Message): string {
  const facts = Object.entries(message)
    .filter(([name]) => !['kind', 'groupId', 'from', 'to', 'entries', 'snapshot'].includes(name))
    .map(([name, value]) => `${name}=${value}`);
  if (message.kind === 'append')
    facts.push(`entries=${message.entries.map((entry) => `${entry.term}:${entry.index}`)}`);
  if (message.kind === 'snapshot') facts.push(`snapshot=${message.snapshot.term}:${message.snapshot.index}`);
  return `${message.from}>${message.to} ${message.kind} ${facts.join(' ')}`;
}
