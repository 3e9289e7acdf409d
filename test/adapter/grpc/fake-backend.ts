/** A cluster that exists only in words: answers with fixed values, remembers what it was asked, and fails on request. */
import type {
  AbortJobResult,
  AdminBackend,
  BalanceView,
  ClusterStatus,
  FeatureView,
  GroupMembers,
  GroupView,
  HealthReport,
  JobView,
  Member,
  MembershipResult,
  MergeResult,
  NodeLogLevel,
  NodeView,
  ReplicaStatus,
  RouteRef,
  RoutesChange,
  RoutesFilter,
  RoutesPage,
  RoutesResult,
  RouteView,
  SettingView,
  TransferResult,
} from '../../../src/cluster/contract/admin.ts';
import type {
  DoctorReport,
  DrainRequest,
  DrainStatus,
  NodeExamination,
  RecoverRequest,
  RecoverResult,
  ReplaceRequest,
  ReplaceStatus,
  ResolveTxnResult,
  TsoReport,
  TxnsReport,
} from '../../../src/cluster/contract/admin-operations.ts';
import type { BackupsView } from '../../../src/cluster/contract/backup-views.ts';
import type { GcRunResult, GcView } from '../../../src/cluster/contract/gc-views.ts';
import { type GroupId, groupId, type Millis, type NodeId, nodeId } from '../../../src/platform/index.ts';

export const slot = (number: number, db = 0): Buffer => Buffer.from([0x72, db, number >> 8, number & 0xff]);

export const route = (id: number, start: Buffer, end: Buffer | undefined, group: number): RouteView => ({
  id,
  start,
  ...(end === undefined ? {} : { end }),
  groupId: groupId(group),
  state: 'ACTIVE',
  jobId: 0,
  parentId: 1,
  splitAtMs: 1_700_000_000_123,
  minWriteMs: 0,
  spanEpoch: 3,
  createdVersion: 2,
  modifiedVersion: 4,
});

const replica = (group: number, role: string, lagEntries?: number): ReplicaStatus => ({
  groupId: groupId(group),
  role,
  suffrage: 'voter',
  term: 7,
  leader: nodeId(2),
  commitIndex: 1_000,
  appliedIndex: 998,
  firstIndex: 5,
  lastIndex: 1_001,
  ...(lagEntries === undefined ? {} : { lagEntries }),
  leaseRemainingMs: role === 'leader' ? 640.5 : 0,
  hlcCeilingMs: 1_700_000_000_000,
  storedBytes: 1_572_864,
  voters: [nodeId(1), nodeId(2), nodeId(3)],
});

export const STATUS: ClusterStatus = {
  answeredBy: nodeId(1),
  nodes: [
    {
      nodeId: nodeId(1),
      address: '10.0.0.1:50051',
      isReachable: true,
      problem: '',
      version: '0.1.0',
      routesVersion: 4,
      clockOffsetMs: 0,
      clockErrorMs: 0,
      isClockOff: false,
      replicas: [replica(1, 'follower', 3), replica(2, 'follower')],
    },
    {
      nodeId: nodeId(2),
      address: '10.0.0.2:50051',
      isReachable: true,
      problem: '',
      version: '0.1.0',
      routesVersion: 4,
      clockOffsetMs: -12,
      clockErrorMs: 2,
      isClockOff: true,
      replicas: [replica(1, 'leader', 0)],
    },
    {
      nodeId: nodeId(3),
      address: '10.0.0.3:50051',
      isReachable: false,
      problem: 'the stream to node 3 broke: connection refused',
      version: '',
      routesVersion: 0,
      clockOffsetMs: 0,
      clockErrorMs: 0,
      isClockOff: false,
      replicas: [],
    },
  ],
  catalogProblem: '',
};

const member = (id: number, isLeader: boolean, lagEntries: number, suffrage: Member['suffrage'] = 'voter'): Member => ({
  nodeId: nodeId(id),
  address: `10.0.0.${id}:50051`,
  suffrage,
  isLeader,
  state: isLeader ? '' : 'replicate',
  matchIndex: 10_000 - lagEntries,
  lagEntries,
  isActive: true,
});

export const members = (learnerLag: number): GroupMembers => ({
  groupId: groupId(1),
  leader: nodeId(2),
  term: 7,
  lastIndex: 10_000,
  isJoint: false,
  members: [member(1, false, 3), member(2, true, 0), member(4, false, learnerLag, 'learner')],
  problem: '',
});

export const job = (phase: string, isFinished = false): JobView => ({
  id: 17,
  revision: 5,
  routeId: 3,
  start: slot(8192),
  src: groupId(1),
  dst: groupId(2),
  phase,
  attempt: 1,
  isFinished,
  isAbortable: !isFinished,
  lastError: '',
  createdMs: 1_700_000_000_000,
  updatedMs: 1_700_000_002_500,
});

export const GROUP: GroupView = {
  id: groupId(2),
  state: 'ACTIVE',
  founders: [nodeId(1), nodeId(2), nodeId(3)],
  preferredLeader: nodeId(2),
  createdMs: 1_700_000_000_000,
  revision: 1,
  leader: nodeId(2),
  routeCount: 256,
};

const NODE: NodeView = {
  nodeId: nodeId(2),
  address: '10.0.0.2:50051',
  incarnation: '00112233445566778899aabbccddeeff',
  locality: 'zone=a',
  capabilities: [0, 2],
  heartbeatAgeMs: 400,
  isAlive: true,
  service: 'serving',
  leaderCount: 2,
  replicaCount: 3,
  storedBytes: 4096,
};

export const setting = (name: string, value: string): SettingView => ({
  name,
  value,
  revision: 2,
  isDefault: false,
  description: 'splits hot ranges',
  allowed: 'off, observe, on',
});

const BACKUPS: BackupsView = {
  isActive: true,
  running: {
    id: '20231114T221320Z-0a0b0c0d',
    place: 's3://backups/orders',
    node: nodeId(2),
    begunMs: 1_700_000_000_000,
    attempt: 1,
    groups: 4,
    groupsDone: 1,
    bytes: 4_194_304,
    doneBytes: 1_048_576,
    newBytes: 524_288,
    problem: '',
  },
  last: {
    id: '20231113T221320Z-0a0b0c0e',
    place: 's3://backups/orders',
    begunMs: 1_699_913_600_000,
    doneMs: 1_699_913_660_000,
    groups: 4,
    bytes: 4_000_000,
    newBytes: 4_000_000,
  },
  place: 's3://backups/orders',
  everyMs: 86_400_000,
  keepCount: 7,
  keepMs: 0,
  bytesPerSecond: 33_554_432,
  nextMs: 1_700_086_400_000,
  archive: {
    isOn: true,
    everyMs: 10_000,
    holdMs: 21_600_000,
    place: 's3://backups/orders',
    node: nodeId(3),
    chain: '20231113T000000Z-0a0b0c0f',
    steps: 8_000,
    versions: 123_456,
    fromMs: 1_699_833_600_000,
    sinceMs: 1_699_913_600_000,
    untilMs: 1_700_000_000_123,
    failures: 0,
    problem: '',
  },
};

const GC: GcView = {
  safepointMs: 1_700_000_000_000,
  retentionMs: 1_800_000,
  raisedAtMs: 1_700_001_800_000,
  roundAtMs: 1_700_001_800_000,
  isActive: true,
  isOverdue: false,
  holdersBack: [{ who: 'group 2', why: 'a lock of a transaction that is still open' }],
  groups: [{ groupId: groupId(2), thresholdMs: 1_699_999_000_000, isPending: true, problem: '' }],
  nodes: [
    {
      nodeId: nodeId(1),
      problem: '',
      pinMs: 1_699_999_500_000,
      pinPurpose: 'backup',
      stores: [
        {
          groupId: groupId(2),
          collectedMs: 1_699_999_000_000,
          passedAtMs: 1_700_001_000_000,
          droppedVersions: 12,
          overhangBytes: 1_048_576,
          unreachableBytes: 4_096,
          isRunning: true,
        },
      ],
    },
  ],
};

const BALANCE: BalanceView = {
  nodeId: nodeId(2),
  windowCount: 3,
  completeGroups: 2,
  duties: [
    { duty: 'balance.leaders', mode: 'on', nextInMs: 12_000, underWay: '', said: 'idle leaders are even' },
    { duty: 'autosplit', mode: 'observe', nextInMs: 0, underWay: 'range 7 is hot', said: '' },
  ],
  reports: [{ atMs: 1_700_000_000_000, duty: 'autosplit', event: 'observed', text: 'range 7 would be cut' }],
  work: [
    { name: 'signposts', holder: nodeId(3), leaseUntilMs: 1_700_000_030_000 },
    { name: 'idle', leaseUntilMs: 0 },
  ],
};

const feature = (name: string, isActive: boolean): FeatureView => ({
  name,
  isActive,
  activatedMs: isActive ? 1_700_000_000_000 : 0,
  description: 'ranges travel between groups',
  missingOn: isActive ? [] : [nodeId(3)],
});

export const ROUTES: readonly RouteView[] = [
  route(1, Buffer.alloc(0), slot(8192), 1),
  route(3, slot(8192), Buffer.from('s\\ \xff', 'latin1'), 2),
  route(4, Buffer.from('s\\ \xff', 'latin1'), undefined, 1),
];

/** A node of four replicas. @param left of those that another node has room for */
export const drainStatus = (state: string, leaders: number, left: number, isCallDue = false): DrainStatus => ({
  nodeId: nodeId(3),
  state,
  isDone: leaders + left === 0 && !isCallDue,
  leaders,
  replicas: left,
  movable: left,
  replicasBefore: 4,
  message: leaders + left === 0 && !isCallDue ? 'node 3 is drained' : '',
  isCallDue,
});

export const replaceStatus = (stage: ReplaceStatus['stage'], state: string): ReplaceStatus => ({
  dead: nodeId(3),
  successor: nodeId(4),
  stage,
  groups: [{ groupId: groupId(1), isVoter: true, state, lagEntries: 250, problem: '' }],
  message: `this is said in ${stage}`,
});

export const EXAMINATION: NodeExamination = {
  nodeId: nodeId(1),
  problem: '',
  version: '0.1.0',
  runtime: 'Node.js 24.1.0',
  platform: 'linux x64',
  syncCount: 8,
  syncMedianMs: 1.25,
  syncMaxMs: 4.5,
  diskFreeBytes: 2 ** 34,
  diskTotalBytes: 2 ** 35,
  loopLagMedianMs: 0.5,
  loopLagMaxMs: 3,
  memoryUsedBytes: 2 ** 27,
  memoryLimitBytes: 2 ** 33,
  clockOffsetMs: -3,
  clockErrorMs: 1,
  shared: ['clusterName=kvorum'],
  remarks: [],
};

export const TIME: TsoReport = {
  wantedGroup: 1,
  shadowGroup: 0,
  clockMs: 1_700_000_002_000,
  acceptedLeadMs: 0,
  groups: [
    {
      groupId: groupId(1),
      problem: '',
      mode: 'bridge',
      epoch: 0,
      oracle: 1,
      isOpen: true,
      newestMs: 1_700_000_000_000,
      ceilingMs: 1_700_000_003_000,
      boundMs: 1_700_000_003_000,
      leadMs: -5,
    },
  ],
};

export const TXN_ID = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

export const TRANSACTIONS: TxnsReport = {
  transactions: [
    {
      txnId: TXN_ID,
      primary: slot(9),
      startMs: 1_700_000_000_000,
      ageMs: 12_500,
      deadlineMs: 1_700_000_010_000,
      isExpired: true,
      lockCount: 2,
      locks: [
        { groupId: groupId(1), key: slot(9), kind: 'put' },
        { groupId: groupId(2), key: slot(10), end: slot(11), kind: 'range' },
      ],
      fate: 'open',
      commitMs: 0,
    },
  ],
  hasMore: false,
  problems: ['group 7: no leader could be reached'],
};

const RECOVERED: RecoverResult = {
  groupId: groupId(2),
  isDone: true,
  node: nodeId(1),
  survivors: [{ nodeId: nodeId(1), lastTerm: 7, lastIndex: 1_001, appliedIndex: 998 }],
  lost: [nodeId(2), nodeId(3)],
  uncertainEntries: 1,
  floorMs: 1_700_000_003_500,
  audit: 'recovered/2',
  note: 'next: replace 2 <new node>',
};

/** See the top of the file. */
export class FakeBackend implements AdminBackend {
  readonly calls: (readonly [method: string, ...args: unknown[]])[] = [];
  /** What a method throws; taken out once when the list holds several. */
  readonly failures = new Map<string, Error[]>();
  /** Settles before a method answers; for answers that do not come. */
  hold: Promise<void> | undefined;
  healthReport: HealthReport = { isHealthy: true, problems: [], nodeCount: 3, groupCount: 2 };
  jobPhases: JobView[] = [job('BACKFILL')];
  changes: RoutesChange[] = [];
  /** What `replace` answers, one after the other; the last one stays. */
  replacement: ReplaceStatus[] = [replaceStatus('DONE', 'done')];
  doctorReport: DoctorReport = { nodes: [EXAMINATION], problems: [] };
  /** Watches that are open. */
  watching = 0;
  pages: RoutesPage[] = [
    { version: 4, incarnation: 9, routes: ROUTES.slice(0, 2) },
    { version: 4, incarnation: 9, routes: ROUTES.slice(2) },
  ];

  private async asked<Value>(value: Value, method: string, ...args: unknown[]): Promise<Value> {
    this.calls.push([method, ...args]);
    await this.hold;
    const failures = this.failures.get(method);
    const failure = failures?.shift();
    if (failure !== undefined) throw failure;
    return value;
  }

  private changed(method: string, ...args: unknown[]): Promise<MembershipResult> {
    return this.asked({ changed: true, group: members(0), note: '' }, method, ...args);
  }

  status(groups: readonly GroupId[]): Promise<ClusterStatus> {
    return this.asked(STATUS, 'status', groups);
  }

  health(): Promise<HealthReport> {
    return this.asked(this.healthReport, 'health');
  }

  members(groups: readonly GroupId[]): Promise<readonly GroupMembers[]> {
    return this.asked([members(2_500)], 'members', groups);
  }

  addLearner(group: GroupId, node: NodeId, address: string): Promise<MembershipResult> {
    return this.changed('addLearner', group, node, address);
  }

  promote(group: GroupId, node: NodeId): Promise<MembershipResult> {
    return this.changed('promote', group, node);
  }

  removeMember(group: GroupId, node: NodeId): Promise<MembershipResult> {
    return this.changed('removeMember', group, node);
  }

  transferLeader(group: GroupId, to: NodeId | undefined): Promise<TransferResult> {
    return this.asked(
      { groupId: group, from: nodeId(2), to: to ?? nodeId(1), changed: true },
      'transferLeader',
      group,
      to,
    );
  }

  groups(): Promise<readonly GroupView[]> {
    return this.asked([GROUP], 'groups');
  }

  createGroup(
    id: GroupId | undefined,
    founders: readonly NodeId[],
    preferredLeader: NodeId | undefined,
    _timeoutMs: Millis,
    requestId?: Buffer,
  ): Promise<GroupView> {
    const name = requestId === undefined ? [] : [requestId.toString('hex')];
    return this.asked(GROUP, 'createGroup', id, founders, preferredLeader, ...name);
  }

  removeGroup(id: GroupId): Promise<GroupView> {
    return this.asked({ ...GROUP, id, state: 'REMOVED' }, 'removeGroup', id);
  }

  *routes(filter: RoutesFilter): Generator<RoutesPage> {
    this.calls.push(['routes', filter]);
    yield* this.pages;
  }

  async *watchRoutes(onlyChanges: boolean, signal: AbortSignal): AsyncGenerator<RoutesChange> {
    this.calls.push(['watchRoutes', onlyChanges]);
    this.watching++;
    try {
      yield* this.changes;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      this.watching--;
    }
  }

  split(key: Buffer, expectedVersion: number | undefined): Promise<RoutesResult> {
    return this.asked({ version: 5, routeIds: [6, 7] }, 'split', key, expectedVersion);
  }

  batchSplit(keys: readonly Buffer[], batchId: Buffer, expectedVersion: number | undefined): Promise<RoutesResult> {
    const routeIds = Array.from({ length: keys.length + 1 }, (_, at) => 6 + at);
    return this.asked({ version: 5, routeIds }, 'batchSplit', keys, batchId, expectedVersion);
  }

  /** Routes that meet at `x` are in different groups. */
  merge(boundary: Buffer, expectedVersion: number | undefined): Promise<MergeResult> {
    const isAcross = boundary.equals(Buffer.from('x'));
    const result = isAcross
      ? { version: 6, routeIds: [], job: { ...job('PLANNED'), mergeWith: 8 } }
      : { version: 6, routeIds: [8] };
    return this.asked(result, 'merge', boundary, expectedVersion);
  }

  move(ref: RouteRef, to: GroupId, expectedVersion: number | undefined): Promise<JobView> {
    return this.asked(job('PLANNED'), 'move', ref, to, expectedVersion);
  }

  async jobs(id: number, finishedLimit: number): Promise<readonly JobView[]> {
    const now = this.jobPhases.length > 1 ? this.jobPhases.shift()! : this.jobPhases[0];
    return this.asked(now === undefined ? [] : [now], 'jobs', id, finishedLimit);
  }

  abortJob(id: number): Promise<AbortJobResult> {
    return this.asked({ changed: true, job: job('ABORTING') }, 'abortJob', id);
  }

  nodes(): Promise<readonly NodeView[]> {
    return this.asked([NODE], 'nodes');
  }

  settings(): Promise<readonly SettingView[]> {
    return this.asked([setting('autosplit', 'off'), setting('balance.leaders', 'observe')], 'settings');
  }

  setSetting(name: string, value: string): Promise<SettingView> {
    return this.asked(setting(name, value), 'setSetting', name, value);
  }

  features(): Promise<readonly FeatureView[]> {
    return this.asked([feature('ranges.move', true), feature('ranges.balance', false)], 'features');
  }

  activateFeature(name: string): Promise<FeatureView> {
    return this.asked(feature(name, true), 'activateFeature', name);
  }

  logLevels(node: NodeId | undefined, level: string | undefined): Promise<readonly NodeLogLevel[]> {
    return this.asked(
      [{ nodeId: nodeId(1), level: level ?? 'info', before: 'info', problem: '' }],
      'logLevels',
      node,
      level,
    );
  }

  balance(): Promise<BalanceView> {
    return this.asked(BALANCE, 'balance');
  }

  gc(): Promise<GcView> {
    return this.asked(GC, 'gc');
  }

  runGc(): Promise<GcRunResult> {
    return this.asked({ result: 'done', status: GC }, 'runGc');
  }

  backupsView = BACKUPS;

  backups(): Promise<BackupsView> {
    return this.asked(this.backupsView, 'backups');
  }

  createBackup(place: string | undefined): Promise<{ readonly id: string }> {
    return this.asked({ id: BACKUPS.last!.id }, 'createBackup', place);
  }

  drains: DrainStatus[] = [drainStatus('draining', 0, 2)];

  async drain(request: DrainRequest): Promise<DrainStatus> {
    return this.asked(this.nextDrain(), 'drain', request);
  }

  async drainProgress(node: NodeId): Promise<DrainStatus> {
    return this.asked(this.nextDrain(), 'drainProgress', node);
  }

  private nextDrain(): DrainStatus {
    return this.drains.length > 1 ? this.drains.shift()! : this.drains[0]!;
  }

  async replace(request: ReplaceRequest): Promise<ReplaceStatus> {
    const next = this.replacement.length > 1 ? this.replacement.shift()! : this.replacement[0]!;
    return this.asked(next, 'replace', request);
  }

  doctor(): Promise<DoctorReport> {
    return this.asked(this.doctorReport, 'doctor');
  }

  times = TIME;

  time(): Promise<TsoReport> {
    return this.asked(this.times, 'time');
  }

  transactions(
    groups: readonly GroupId[],
    limit: number,
    txnId: Buffer | undefined,
    primary: Buffer | undefined,
  ): Promise<TxnsReport> {
    return this.asked(TRANSACTIONS, 'transactions', groups, limit, txnId, primary);
  }

  resolveTransaction(txnId: Buffer, isForced: boolean): Promise<ResolveTxnResult> {
    return this.asked({ txnId, fate: 'rolledBack', endedLocks: 2, note: '' }, 'resolveTransaction', txnId, isForced);
  }

  recover(request: RecoverRequest): Promise<RecoverResult> {
    return this.asked({ ...RECOVERED, isDone: !request.isDryRun }, 'recover', request);
  }
}
