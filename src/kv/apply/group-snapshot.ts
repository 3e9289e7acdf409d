/**
 * Snapshots of a group as the engine moves them: a copy of the store, whose manifest says of which group and which point of
 * its log it is. What it says is taken from the copy itself, and compared with the copy again where it arrives.
 */
import {
  type GroupId,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  NEVER,
  type NodeId,
  nodeId,
  type Term,
} from '../../platform/index.ts';
import type { ConfState, SnapshotMeta, SnapshotReader, SnapshotStage } from '../../raftengine/index.ts';
import {
  type CopyFacts,
  type CopyManifest,
  decodeManifest,
  encodeManifest,
  type GroupStore,
  type StoreImport,
} from '../../store/index.ts';
import { CorruptEntryError } from '../contract/index.ts';
import { decodeAppliedMeta, decodeConf, MetaName } from '../entry/index.ts';

/** What the manifest of a group's snapshot says beside its segments. */
export interface SnapshotFacts {
  readonly group: number;
  readonly index: LogIndex;
  readonly term: Term;
  readonly conf: ConfState;
  /** Largest commit timestamp in it. */
  readonly maxTs: HlcTimestamp;
  /** Its leaders issued timestamps below. */
  readonly ceilingMs: Millis;
}

/** Of a store in which nothing was ever applied. */
const NOBODY: ConfState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

type MetaOf = (name: string) => Buffer | undefined;

/** Facts of a store's state at an index. */
function factsAt(group: number, index: LogIndex, meta: MetaOf): SnapshotFacts {
  if (index === 0) return { group, index, term: 0, conf: NOBODY, maxTs: NEVER, ceilingMs: 0 };
  const applied = meta(MetaName.Applied);
  const conf = meta(MetaName.Conf);
  if (applied === undefined || conf === undefined) {
    throw new CorruptEntryError(`a copy of group ${group} at index ${index} lacks its membership or its term`);
  }
  return { group, index, ...decodeAppliedMeta(applied), conf: decodeConf(conf) };
}

function encodeFacts({ group, index, term, conf, maxTs, ceilingMs }: SnapshotFacts): CopyFacts {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = conf;
  return {
    group,
    index,
    term,
    conf: { voters, votersOutgoing, learners, learnersNext, autoLeave },
    maxTs: maxTs.toString(),
    ceilingMs,
  };
}

/**
 * What a manifest says of its group.
 * @throws CorruptEntryError when it is not of a group
 */
export function snapshotFacts(manifest: CopyManifest): SnapshotFacts {
  const { group, index, term, conf, maxTs, ceilingMs } = manifest.about as Readonly<Record<string, unknown>>;
  const lists = conf as Readonly<Record<string, unknown>> | null;
  const listOf = (name: string): NodeId[] => {
    const list = lists?.[name];
    if (!Array.isArray(list)) throw new CorruptEntryError('the manifest of a snapshot names no members');
    return list.map((id) => nodeId(Number(id)));
  };
  const isWhole = [group, index, term, ceilingMs].every((value) => Number.isSafeInteger(value) && Number(value) >= 0);
  if (!isWhole || typeof maxTs !== 'string' || !/^\d{1,20}$/.test(maxTs)) {
    throw new CorruptEntryError('the manifest of a snapshot does not say what it is of');
  }
  return {
    group: Number(group),
    index: Number(index),
    term: Number(term),
    conf: {
      voters: listOf('voters'),
      votersOutgoing: listOf('votersOutgoing'),
      learners: listOf('learners'),
      learnersNext: listOf('learnersNext'),
      autoLeave: lists?.autoLeave === true,
    },
    maxTs: hlcTimestamp(BigInt(maxTs)),
    ceilingMs: Number(ceilingMs),
  };
}

/** What the manifest of a copy of this group says; for `GroupStore.exportSegments`. */
export const describeGroup =
  (group: GroupId) =>
  (meta: MetaOf, index: LogIndex): CopyFacts =>
    encodeFacts(factsAt(group, index, meta));

/** Cuts a snapshot of a group's store. */
export async function openGroupSnapshot(store: GroupStore, group: GroupId): Promise<SnapshotReader> {
  const cut = await store.exportSegments(describeGroup(group));
  const { segments } = cut.manifest;
  const { index, term, conf } = snapshotFacts(cut.manifest);
  return {
    meta: { index, term, conf },
    manifest: encodeManifest(cut.manifest),
    segments: segments.map(({ bytes }) => bytes),
    frames: (at) => cut.frames(segments[at]!),
    close: () => cut.close(),
  };
}

/**
 * Stages a snapshot for a group's store.
 * @param onInstalled called when the store shows it
 * @throws CorruptSnapshotError, CorruptEntryError when the manifest is damaged or of another group
 */
export async function stageGroupSnapshot(
  store: GroupStore,
  group: GroupId,
  manifestBytes: Buffer,
  onInstalled: () => void,
): Promise<SnapshotStage> {
  const manifest = decodeManifest(manifestBytes, 'the manifest of a snapshot');
  const facts = snapshotFacts(manifest);
  if (facts.group !== group) {
    throw new CorruptEntryError(`a snapshot for group ${group} is of group ${facts.group}`);
  }
  return new StagedSnapshot(await store.stageImport(manifest), manifest.segments.length, facts, onInstalled);
}

/** A snapshot on its way in. */
class StagedSnapshot implements SnapshotStage {
  readonly segments: number;
  private readonly staged: StoreImport;
  private readonly facts: SnapshotFacts;
  private readonly onInstalled: () => void;

  constructor(staged: StoreImport, segments: number, facts: SnapshotFacts, onInstalled: () => void) {
    this.staged = staged;
    this.segments = segments;
    this.facts = facts;
    this.onInstalled = onInstalled;
  }

  get missing(): readonly number[] {
    return this.staged.missing;
  }

  receive(segment: number, frames: AsyncIterable<Buffer>): Promise<void> {
    return this.staged.receive(segment, frames);
  }

  async finish(): Promise<SnapshotMeta> {
    const { appliedIndex, meta } = await this.staged.finish();
    const said = JSON.stringify(encodeFacts(this.facts));
    const held = JSON.stringify(encodeFacts(factsAt(this.facts.group, appliedIndex, meta)));
    if (said !== held) throw new CorruptEntryError(`a snapshot says that it is ${said} and holds ${held}`);
    const { index, term, conf } = this.facts;
    return { index, term, conf };
  }

  async install(): Promise<void> {
    await this.staged.install();
    this.onInstalled();
  }

  async discard(): Promise<void> {
    await this.staged.discard();
  }
}
