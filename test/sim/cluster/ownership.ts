/**
 * What must hold for ranges at every moment, looked at from outside after every event: no key has two owners, routes
 * partition the keys, directories never go back and agree. At rest every key has exactly the owner that the directory
 * names, and nothing is left of any move.
 */

import type { SpanTable } from '../../../src/distribution/ownership/span-table.ts';
import type { Span } from '../../../src/distribution/ownership/span-types.ts';
import type { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import type { GroupId } from '../../../src/platform/index.ts';
import type { ClusterNode, Process } from './cluster-node.ts';
import { InvariantViolation } from './violation.ts';

/** Events between two looks at which replicas there are. */
const REPLICAS_EVERY = 64;
const NAMED_ROUTES = 20;

type StateMachine = NonNullable<ReturnType<Process['node']['host']['get']>>['stateMachine'];

interface WatchedReplica {
  readonly node: ClusterNode;
  readonly group: GroupId;
  readonly stateMachine: StateMachine;
  table: SpanTable | undefined;
}

interface WatchedDirectory {
  readonly node: ClusterNode;
  readonly process: Process;
  table: RouteTable;
}

/** The newest state of a group that any of its replicas was ever seen to have applied. */
interface Newest {
  readonly index: number;
  readonly table: SpanTable;
}

interface Owned {
  readonly group: GroupId;
  readonly span: Span;
}

const hex = (key: Buffer | undefined): string => (key === undefined ? 'end' : `'${key.toString('hex')}'`);
const isOwned = (span: Span): boolean => span.state === 'ACTIVE' || span.state === 'FENCED';

export class OwnershipInvariants {
  private readonly nodes: readonly ClusterNode[];
  private replicas: WatchedReplica[] = [];
  private directories: WatchedDirectory[] = [];
  private untilRefresh = 0;
  private readonly newest = new Map<GroupId, Newest>();
  /** What each version of the directory looked like where it was first seen. */
  private readonly versions = new Map<string, string>();
  /** Groups that ever had a replica. */
  readonly groups = new Set<GroupId>();
  /** Changes of ownership that were seen: keys that went from one group to another. */
  handovers = 0;

  constructor(nodes: readonly ClusterNode[]) {
    this.nodes = nodes;
  }

  /** To be called between events; cheap when nothing has changed. @throws InvariantViolation */
  look(): void {
    if (this.untilRefresh-- === 0) this.refresh();
    for (const replica of this.replicas) {
      if (replica.stateMachine.spanTable === replica.table || replica.node.process === undefined) continue;
      replica.table = replica.stateMachine.spanTable;
      this.spansChanged(replica);
    }
    for (const directory of this.directories) {
      const { current } = directory.process.node.routes;
      if (current === directory.table || directory.node.process !== directory.process) continue;
      this.directoryChanged(directory, current);
      directory.table = current;
    }
  }

  private refresh(): void {
    this.untilRefresh = REPLICAS_EVERY;
    const known = new Map(this.replicas.map((replica) => [replica.stateMachine, replica]));
    const directories = new Map(this.directories.map((directory) => [directory.process, directory]));
    this.replicas = [];
    this.directories = [];
    for (const node of this.nodes) {
      const { process } = node;
      if (process === undefined) continue;
      const table = process.node.routes.current;
      this.directories.push(directories.get(process) ?? this.newDirectory({ node, process, table }));
      for (const { groupId: group, stateMachine } of process.node.host.all()) {
        this.groups.add(group);
        this.replicas.push(known.get(stateMachine) ?? { node, group, stateMachine, table: undefined });
      }
    }
  }

  private newDirectory(directory: WatchedDirectory): WatchedDirectory {
    this.checkPartition(directory.node, directory.table);
    return directory;
  }

  // ---- spans

  private spansChanged({ group, stateMachine, table }: WatchedReplica): void {
    const { index } = stateMachine.applied();
    const before = this.newest.get(group);
    if (before !== undefined && before.index > index) return;
    this.newest.set(group, { index, table: table! });
    if (before !== undefined) this.countHandovers(before.table, table!);
    this.checkOneOwner();
  }

  private countHandovers(before: SpanTable, now: SpanTable): void {
    const moved = (table: SpanTable): number => table.spans.filter(({ state }) => state === 'MOVED_OUT').length;
    if (moved(now) > moved(before)) this.handovers += 1;
  }

  /** Every group's owned spans in the order of keys. */
  private owned(): Owned[] {
    return [...this.newest]
      .flatMap(([group, { table }]) => table.spans.filter(isOwned).map((span) => ({ group, span })))
      .sort((left, right) => Buffer.compare(left.span.start, right.span.start));
  }

  private checkOneOwner(): void {
    const owned = this.owned();
    for (const [at, { group, span }] of owned.entries()) {
      const next = owned[at + 1];
      if (next === undefined || (span.end !== undefined && Buffer.compare(span.end, next.span.start) <= 0)) continue;
      throw new InvariantViolation(
        'two owners',
        `groups ${group} and ${next.group} both own ${hex(next.span.start)}: ${this.describeSpans()}`,
      );
    }
  }

  private describeSpans(): string {
    return [...this.newest]
      .map(
        ([group, { index, table }]) =>
          `group ${group} at ${index}: ${table.spans
            .map((span) => `${hex(span.start)}..${hex(span.end)} ${span.state} epoch ${span.epoch} job ${span.job}`)
            .join(', ')}`,
      )
      .join('; ');
  }

  // ---- directories

  private directoryChanged({ node, table }: WatchedDirectory, current: RouteTable): void {
    const isOlder =
      current.incarnation < table.incarnation ||
      (current.incarnation === table.incarnation && current.version < table.version);
    if (isOlder)
      throw new InvariantViolation(
        'directory went back',
        `node ${node.id} went from version ${table.version} to ${current.version}`,
      );
    this.checkPartition(node, current);
  }

  private checkPartition(node: ClusterNode, table: RouteTable): void {
    if (table.version === 0) return;
    let from: Buffer | undefined = Buffer.alloc(0);
    const rows: string[] = [];
    const ids = new Set<number>();
    for (const route of table.all()) {
      if (from?.equals(route.start) !== true || ids.has(route.id))
        throw new InvariantViolation(
          'routes',
          `on node ${node.id} version ${table.version} has ${hex(from)} before ${hex(route.start)} (route ${route.id})`,
        );
      ids.add(route.id);
      from = route.end;
      rows.push(`${hex(route.start)} ${route.id} ${route.groupId} ${route.state} ${route.jobId} ${route.minWriteTs}`);
    }
    if (from !== undefined)
      throw new InvariantViolation('routes', `on node ${node.id} version ${table.version} ends at ${hex(from)}`);
    const name = `${table.incarnation}/${table.version}`;
    const text = rows.join('\n');
    const known = this.versions.get(name);
    if (known === undefined) this.versions.set(name, text);
    else if (known !== text)
      throw new InvariantViolation(
        'directories differ',
        `version ${name} on node ${node.id} is\n${text}\nand was elsewhere\n${known}`,
      );
  }

  // ---- at rest

  /**
   * To be asked when everything works and nobody gives orders: what is not at rest yet.
   * @returns undefined when all moves are over and everybody knows the newest directory
   */
  unrest(): string | undefined {
    const leader = this.nodes.find(({ process }) => process?.node.catalogLeader.state !== undefined);
    const state = leader?.process?.node.catalogLeader.state;
    if (state?.meta === undefined) return 'nobody leads the catalog';
    if (state.jobs.size > 0)
      return `jobs under way: ${[...state.jobs.values()]
        .map((job) => `${job.id} ${job.phase} attempt ${job.attempt} from ${job.src} to ${job.dst} (${job.lastError})`)
        .join('; ')}`;
    for (const { id, process } of this.nodes) {
      if (process?.node.routes.current.version !== state.meta.version) return `node ${id} has another directory`;
      const revision = process.node.clusterState()?.revision;
      if (revision !== state.meta.documentRevision) return `node ${id} has cluster state ${revision}`;
      for (const { groupId: group } of process.node.host.all()) {
        if (state.groups.get(group)?.state !== 'ACTIVE') return `node ${id} has a replica of removed group ${group}`;
      }
    }
    return undefined;
  }

  /** Groups that are there, at rest. */
  activeGroups(): GroupId[] {
    const state = this.nodes.map(({ process }) => process?.node.catalogLeader.state).find((each) => each !== undefined);
    return [...(state?.groups.values() ?? [])].filter((row) => row.state === 'ACTIVE').map(({ id }) => id);
  }

  /** Compares the owners with the directory. @throws InvariantViolation */
  checkAtRest(): void {
    this.look();
    this.checkOneOwner();
    const table = this.nodes[0]!.process!.node.routes.current;
    const routes = [...table.all()];
    for (const { start, end, groupId: group, state } of routes) {
      const spans = this.newest.get(group)?.table;
      const isWhole = spans !== undefined && spans.intersect(start, end, 'write').rest === undefined;
      if (!isWhole || state !== 'ACTIVE') {
        const shown = routes
          .slice(0, NAMED_ROUTES)
          .map((route) => `${hex(route.start)} ${route.groupId} ${route.state}`);
        throw new InvariantViolation(
          'owner',
          `the directory gives ${hex(start)}..${hex(end)} (${state}) to group ${group}: ${this.describeSpans()}; ${shown}`,
        );
      }
    }
    for (const [group, { table: spans }] of this.newest) {
      for (const span of spans.spans) {
        const isRest = span.state === 'MOVED_OUT' ? span.isPurged : span.state === 'ACTIVE' && span.job === 0;
        if (!isRest && this.isThere(group))
          throw new InvariantViolation(
            'leftovers',
            `a move has left a span in group ${group}: ${this.describeSpans()}`,
          );
      }
    }
  }

  private isThere(group: GroupId): boolean {
    return this.activeGroups().includes(group);
  }
}
