/** What becomes of stored bytes on a node: whether more are let in, and how those that nobody can read any more go. */
import {
  archiveHold,
  type CatalogClient,
  type GcGroup,
  type GcTimes,
  NodeGc,
  type NodeGcOptions,
} from '../cluster/index.ts';
import type { KeyRules } from '../distribution/index.ts';
import {
  type KvService,
  NodeAdmission,
  type NodeAdmissionOptions,
  type PressedMachine,
  ReadPins,
} from '../kv/index.ts';
import { assert, type GroupId, type PeerNetwork } from '../platform/index.ts';
import type { HostedGroup } from './group-host.ts';

/** What the world outside says about it; all of it may be left out. */
export interface StoragePressureParts {
  /** Bounds and periods of collection that differ from the defaults. */
  readonly gc?: GcTimes;
  /** The machine, as far as it can be pressed. */
  readonly machine?: PressedMachine;
  /** What is kept free of the disk, and how much history may lie on it; by default shares of its size. */
  readonly space?: Pick<NodeAdmissionOptions, 'reserveBytes' | 'overhangBytes'>;
}

/** What a node is made of, as far as it is needed here. */
export interface StoragePressureOptions
  extends StoragePressureParts,
    Pick<NodeGcOptions, 'incarnation' | 'clock' | 'scheduler' | 'random' | 'retentionMs'> {
  readonly network: PeerNetwork;
  readonly keys: KeyRules;
  /** Keys that clients read and wrote here so far. */
  readonly accesses: () => number;
  readonly onBackgroundError: (error: unknown) => void;
}

/** A replica as collection and admission see it. */
const storedGroup = ({ groupId, executor, raft, stateMachine, store }: HostedGroup): GcGroup => ({
  groupId,
  executor,
  stateMachine,
  store,
  isServing: executor.isServing,
  status: () => raft.status(),
});

/** See the top of the file. Made before the network starts: its parts register their handlers. */
export class StoragePressure {
  readonly admission: NodeAdmission;
  /** What this node still reads of the past. */
  readonly pins: ReadPins;
  private readonly options: StoragePressureOptions;
  private readonly groups: () => GcGroup[];
  private collection: NodeGc | undefined;

  /** @param hosted replicas here */
  constructor(options: StoragePressureOptions, hosted: () => readonly HostedGroup[]) {
    const { network, clock, scheduler, machine = {}, space, keys } = options;
    this.options = options;
    this.pins = new ReadPins(clock);
    this.groups = () => hosted().map(storedGroup);
    this.admission = new NodeAdmission({ network, groups: this.groups, machine, clock, scheduler, keys, ...space });
  }

  /** What there is only once the key-value layer and the catalog are; before the network starts. */
  join(kv: Pick<KvService, 'forward' | 'onForward'>, catalog: CatalogClient): { readonly gc: NodeGc } {
    const { options, groups, admission } = this;
    this.collection = new NodeGc({
      ...options,
      nodeId: options.network.self,
      pins: this.pins,
      kv,
      catalog,
      groups,
      needed: (state) => archiveHold(state, options.clock.nowMs()),
      times: options.gc ?? {},
      onError: options.onBackgroundError,
      isUrgent: () => admission.isOverhangUrgent,
      accesses: options.accesses,
      isBusy: () => options.machine?.isBusy?.() === true,
    });
    return { gc: this.collection };
  }

  /** How this node lets go of the past. */
  get gc(): NodeGc {
    assert(this.collection !== undefined, 'collection is there once the catalog is');
    return this.collection;
  }

  /** Asked by a store that a full disk keeps waiting. */
  readonly hasSpace = (): Promise<boolean> => this.admission.hasSpace();

  /** The admission of a group. */
  readonly admissionOf = (group: GroupId) => this.admission.of(group);

  start(): void {
    this.gc.start();
    this.admission.start();
  }

  /** Settles when nothing of it is under way. */
  async stop(): Promise<void> {
    this.admission.stop();
    await this.gc.stop();
  }
}
