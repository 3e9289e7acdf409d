/**
 * A whole cluster in one process: complete nodes on simulated machines, clients that run the fault workloads through the
 * Redis front end, and the faults of a plan. The end of every run is calm: everything is mended, every node must take a
 * write, all replicas must come to the same state, and the histories are judged by the checkers of the fault tests.
 */

import { type Verdict, worstVerdict } from '../../../jepsen/history.ts';
import { acceptanceOf } from '../../../src/cluster/admin/accepted-time.ts';
import {
  EventWatch,
  type GroupId,
  SeededRandom,
  SimFabric,
  Simulation,
  SimulationTimeoutError,
  SystemClock,
} from '../../../src/platform/index.ts';
import { WorkloadClients } from './clients.ts';
import { BODY_LIMITS, ClusterNode, groupsOf } from './cluster-node.ts';
import { CollectionInvariants } from './collections.ts';
import { Invariants } from './invariants.ts';
import { Nemesis } from './nemesis.ts';
import { OwnershipInvariants } from './ownership.ts';
import type { Plan } from './plan.ts';
import { RouteOperator } from './route-operator.ts';
import { InvariantViolation } from './violation.ts';

const CHECK_EVERY_MS = 100;
/** After the last fault is healed every node must take a write within this. */
const RECOVERY_MS = 30_000;
const CALM_MS = 60_000;
const POLL_MS = 100;
const MAX_RETENTION_MS = 3000;
const ADMIN_TIMEOUT_MS = 10_000;
/** Databases that workloads use. */
const COUNTED_DBS = [0, 1];
const SCAN_COUNT = '1000';

/** Whether the past is forgotten so soon that a run can wait for it. */
const forgetsSoon = ({ retentionMs, gc }: Plan): boolean =>
  retentionMs <= MAX_RETENTION_MS && (gc.safepoint?.stepMs ?? Infinity) <= MAX_RETENTION_MS;

/** What a run came to; the counts show that it was not idle. */
export interface RunReport {
  readonly seed: number;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly committed: number;
  readonly terms: number;
  readonly operations: number;
  readonly succeeded: number;
  /** Ranges that went from one group to another. */
  readonly handovers: number;
  /** Rows behind heads that collections had in the end, on all replicas. */
  readonly bodyRows: number;
  readonly verdict: Verdict;
}

export class ClusterSimulation {
  /** Events that take long. Of the machine, so no part of the report. */
  readonly longEvents = new EventWatch(new SystemClock());
  private readonly plan: Plan;
  private readonly simulation: Simulation;
  private readonly nodes: ClusterNode[] = [];
  private readonly nemesis: Nemesis;
  private readonly operator: RouteOperator | undefined;
  private readonly invariants: Invariants;
  private readonly ownership: OwnershipInvariants;
  private readonly collections: CollectionInvariants;
  private readonly groups: WorkloadClients[];
  private readonly trace: ((line: string) => void) | undefined;
  private violation: InvariantViolation | undefined;
  /** Rejects with the first violation that something reports. */
  private readonly brokenSignal = Promise.withResolvers<never>();

  constructor(plan: Plan, trace?: (line: string) => void, events = false) {
    this.brokenSignal.promise.catch(() => undefined);
    this.plan = plan;
    this.trace = trace;
    this.simulation = new Simulation({
      seed: plan.seed,
      watch: this.longEvents,
      ...(trace !== undefined && events ? { traceTo: trace } : {}),
    });
    const { simulation } = this;
    const fabric = new SimFabric(simulation);
    const random = new SeededRandom(plan.seed).fork(5);
    const say = (line: string): void => this.say(line);
    for (let id = 1; id <= plan.nodes; id++) {
      const node = new ClusterNode({
        simulation,
        fabric,
        plan,
        id,
        random: random.fork(id),
        onViolation: (violation) => this.broken(violation),
        say,
      });
      node.setClockOffset((random.next() * 2 - 1) * plan.maxSkewMs + (id === 1 ? plan.misledMs : 0));
      this.nodes.push(node);
    }
    this.nemesis = new Nemesis({
      ...{ simulation, fabric, nodes: this.nodes, groups: () => this.knownGroups(), say },
      onFault: (name) => {
        for (const group of this.groups) group.noteFault(name);
      },
    });
    if (plan.routes !== undefined)
      this.operator = new RouteOperator({ simulation, nodes: this.nodes, plan: plan.routes, say });
    this.ownership = new OwnershipInvariants(this.nodes);
    this.collections = new CollectionInvariants({ simulation, nodes: this.nodes, limits: BODY_LIMITS[plan.bodies] });
    this.invariants = new Invariants(this.nodes, groupsOf(plan));
    this.groups = plan.workloads.map(
      (workload, at) =>
        new WorkloadClients({
          simulation,
          nodes: this.nodes,
          workload,
          clients: plan.clientsPerWorkload,
          thinkMs: plan.thinkMs,
          random: random.fork(100 + at),
          areKeysTogether: !plan.crossesGroups && (plan.routes !== undefined || plan.dataGroups > 1),
          say,
        }),
    );
  }

  /** @throws InvariantViolation */
  async run(): Promise<RunReport> {
    const breaks =
      (invariant: string) =>
      (error: unknown): void => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.broken(new InvariantViolation(invariant, text, { cause: error }));
      };
    const onRejection = breaks('unhandled rejection');
    // Thrown by what a node has queued for the end of an event: nobody's event fails by that.
    const onException = breaks('uncaught exception');
    process.on('unhandledRejection', onRejection);
    process.on('uncaughtException', onException);
    const { stackTraceLimit } = Error;
    // Errors are part of a run by the thousand, and a failing one is replayed with its trace: without it stacks would only cost.
    if (this.trace === undefined) Error.stackTraceLimit = 0;
    try {
      return await this.play();
    } catch (error) {
      throw this.violation ?? error;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
      process.off('unhandledRejection', onRejection);
      process.off('uncaughtException', onException);
    }
  }

  private async play(): Promise<RunReport> {
    const { nodes, nemesis, plan } = this;
    this.say(`plan ${JSON.stringify(plan)}`);
    for (const node of nodes) node.start();
    this.watch();
    await this.until('the cluster starts', RECOVERY_MS, this.everyNodeWrites());
    for (const group of this.groups) await this.until('the workload is set up', RECOVERY_MS, group.setup());
    nemesis.plan(plan.faults);
    this.operator?.start();
    for (const group of this.groups) group.start();
    await this.pass(plan.durationMs);
    this.say('faults end');
    nemesis.healAll();
    this.operator?.stop();
    const stopped = Promise.all(this.groups.map((group) => group.stop()));
    // One change after the other, each with a snapshot, on disks that may be too slow for the elections.
    await this.until('the members come back', CALM_MS, nemesis.restoreMembership());
    await this.until('every node takes a write', RECOVERY_MS, this.everyNodeWrites());
    await this.until('the clients finish', CALM_MS, stopped);
    for (const group of this.groups) {
      if (!(await this.until('the last operations succeed', CALM_MS, group.finish())))
        throw new InvariantViolation('liveness', `a final operation of ${group.workload.name} kept failing in calm`);
    }
    await this.until('ranges come to rest', CALM_MS, this.rangesRest());
    this.ownership.checkAtRest();
    await this.until('DBSIZE says what SCAN finds', RECOVERY_MS, this.countsAgree());
    // The cluster goes on with its own work: disks that are always a little behind would never show one state everywhere.
    for (const { machine } of nodes) machine.disk.slowness = 1;
    await this.until('all replicas have applied the same', RECOVERY_MS, this.replicasAgree());
    await this.until('collections are looked at', RECOVERY_MS, this.collections.checkWhole());
    if (this.collections.bodyRows > 0 && forgetsSoon(plan))
      await this.until('what no head names is gone', CALM_MS, this.collections.checkForgotten());
    this.throwIfBroken();
    this.say('judging');
    return this.judge();
  }

  private judge(): RunReport {
    const verdicts: Verdict[] = [];
    let operations = 0;
    let succeeded = 0;
    for (const { workload, history } of this.groups) {
      const { valid, problems } = workload.checker.check(history);
      if (valid === false) throw new InvariantViolation(`history of ${workload.name}`, problems.slice(0, 3).join('; '));
      verdicts.push(valid);
      for (const { type } of history) {
        if (type === 'invoke') operations += 1;
        else if (type === 'ok') succeeded += 1;
      }
    }
    return {
      seed: this.plan.seed,
      traceHash: this.simulation.traceHash(),
      simulatedMs: this.simulation.nowMs(),
      events: this.simulation.events,
      committed: this.invariants.committedCount,
      terms: this.invariants.termCount,
      handovers: this.ownership.handovers,
      bodyRows: this.collections.bodyRows,
      operations,
      succeeded,
      verdict: worstVerdict(verdicts),
    };
  }

  private watch(): void {
    this.invariants.watch(this.ownership.groups);
    this.invariants.check();
    this.simulation.schedule(CHECK_EVERY_MS, 'check', () => this.watch());
  }

  /** Lets time pass. @throws InvariantViolation */
  private async pass(ms: number): Promise<void> {
    await this.simulation.passUntil(() => this.looked() && this.violation !== undefined, ms);
    this.throwIfBroken();
  }

  /** What is looked at between any two events. @returns true */
  private looked(): boolean {
    this.ownership.look();
    return true;
  }

  /** Runs until a promise settles. @throws InvariantViolation when it does not in time */
  private async until<T>(what: string, withinMs: number, promise: Promise<T>): Promise<T> {
    const raced = Promise.race([promise, this.brokenSignal.promise]);
    let isSettled = false;
    const settled = (): void => {
      isSettled = true;
    };
    raced.then(settled, settled);
    try {
      await this.simulation.runUntil(() => this.looked() && isSettled, withinMs);
      return (await raced) as T;
    } catch (error) {
      if (!(error instanceof SimulationTimeoutError)) throw error;
      const states = this.nodes.map(({ id, process }) => `${id}: ${JSON.stringify(process?.node.status() ?? 'down')}`);
      throw new InvariantViolation('liveness', `${what}: not within ${withinMs} ms\n${states.join('\n')}`);
    }
  }

  private async everyNodeWrites(): Promise<void> {
    for (const node of this.nodes) {
      for (let attempt = 0; ; attempt++) {
        try {
          const client = await node.connect();
          try {
            await client.command(['set', `alive-${node.id}`, String(attempt)]);
          } finally {
            client.disconnect();
          }
          break;
        } catch (error) {
          this.say(`node ${node.id} takes no write: ${(error as Error).message}`);
          await this.simulation.delay(POLL_MS, 'probe');
        }
      }
    }
  }

  /** Settles when all moves are over and everybody knows. */
  private async rangesRest(): Promise<void> {
    let said = '';
    for (;;) {
      const unrest = this.ownership.unrest();
      if (unrest === undefined) return;
      if (unrest !== said) this.say(`not at rest: ${unrest}`);
      said = unrest;
      // What the message tells an operator to do.
      if (unrest.includes('accept_time')) await this.acceptTime().catch((error: unknown) => this.say(String(error)));
      await this.simulation.delay(POLL_MS, 'rest');
    }
  }

  private async acceptTime(): Promise<void> {
    const admin = this.nodes.find(({ process }) => process !== undefined)?.process?.node.admin;
    if (admin === undefined) return;
    const acceptance = acceptanceOf(await admin.time(ADMIN_TIMEOUT_MS));
    if (acceptance === undefined) return;
    this.say(`the operator accepts the time of a group that leads by ${acceptance.leadMs} ms`);
    await admin.setSetting('time.caughtUpAt', String(acceptance.caughtUpAtMs), ADMIN_TIMEOUT_MS);
  }

  /** Settles when every node counts as many keys as a scan finds. */
  private async countsAgree(): Promise<void> {
    for (const node of this.nodes) {
      for (const db of COUNTED_DBS) {
        while (!(await this.countsAgreeAt(node, db))) await this.simulation.delay(POLL_MS, 'count');
      }
    }
  }

  private async countsAgreeAt(node: ClusterNode, db: number): Promise<boolean> {
    try {
      const client = await node.connect();
      await client.command(['select', String(db)]);
      const before = await client.command(['dbsize']);
      const found = new Set<string>();
      let cursor = '0';
      do {
        const [next, keys] = (await client.command(['scan', cursor, 'count', SCAN_COUNT])) as [string, string[]];
        for (const key of keys) found.add(key);
        cursor = next;
      } while (cursor !== '0');
      client.disconnect();
      if (before !== found.size)
        this.say(`node ${node.id} counts ${String(before)} keys of db ${db}, not ${found.size}`);
      return before === found.size;
    } catch (error) {
      this.say(`node ${node.id} cannot count: ${(error as Error).message}`);
      return false;
    }
  }

  private knownGroups(): readonly GroupId[] {
    return this.plan.routes?.changesGroups === true ? this.ownership.activeGroups() : groupsOf(this.plan);
  }

  private async replicasAgree(): Promise<void> {
    while (!(await this.invariants.compareDigests(this.knownGroups()))) await this.simulation.delay(POLL_MS, 'agree');
  }

  private broken(violation: InvariantViolation): void {
    if (this.violation !== undefined) return;
    this.violation = violation;
    this.say(violation.message);
    this.brokenSignal.reject(violation);
  }

  private throwIfBroken(): void {
    if (this.violation !== undefined) throw this.violation;
  }

  private say(line: string): void {
    this.trace?.(`${this.simulation.nowMs().toFixed(2).padStart(9)} ${line}`);
  }
}
