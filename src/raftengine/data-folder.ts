/**
 * The folder that holds everything a node owns. It belongs to one process at a time and to one node of one cluster for
 * life. Both are kept by a tiny LevelDB database in it: its lock file is an fcntl lock, which the operating system gives
 * back when the process dies however it dies, and its only row is the node's identity.
 */
import { join, resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { type ErrorDisposition, KvorumError, type NodeId, nodeId, type Random } from '../platform/index.ts';

/** Another process has the folder open. */
export class DataFolderLockedError extends KvorumError {
  readonly code = 'DATA_FOLDER_LOCKED';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, cause: unknown) {
    super(
      `the data folder ${folder} is in use, probably by another kvorum process. ` +
        'Stop that process, or give this one another folder.',
      { cause },
    );
    this.folder = folder;
  }
}

/** The folder belongs to another node or cluster, or to a version of kvorum that this one cannot read. */
export class DataFolderMismatchError extends KvorumError {
  readonly code = 'DATA_FOLDER_MISMATCH';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, what: string) {
    super(`the data folder ${folder} ${what}. Start the node with the folder that is its own, or with an empty one.`);
    this.folder = folder;
  }
}

/** Who a data folder belongs to. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  /** 16 random bytes as hex, drawn when the folder was made: a node that lost its folder comes back as another one. */
  readonly incarnation: string;
  readonly clusterName: string;
  /** The node came to a cluster that ran already: it founds nothing, now or ever. Decided when the folder is made. */
  readonly joined: boolean;
}

export interface DataFolderOptions {
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** Source of the incarnation of a new folder. */
  readonly random: Random;
  /** What a new folder begins as; one that exists knows it better. */
  readonly joins: boolean;
}

export interface DataFolder {
  readonly identity: NodeIdentity;
  /** Absolute path. */
  readonly path: string;
  /** Gives the lock back. */
  close(): Promise<void>;
}

const IDENTITY_FOLDER = 'identity';
const IDENTITY_KEY = 'node';
const FORMAT = 1;
const INCARNATION_BYTES = 16;

/**
 * Takes a data folder for this process, making it when it is absent or empty.
 * @throws DataFolderLockedError while another process (or another call in this one) has it
 * @throws DataFolderMismatchError when it belongs to another node or cluster
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const path = resolve(options.folder);
  const level = new ClassicLevel<string, string>(join(path, IDENTITY_FOLDER));
  try {
    await level.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: unknown } }).cause;
    if (cause?.code === 'LEVEL_LOCKED') throw new DataFolderLockedError(path, error);
    throw error;
  }
  try {
    const identity = (await readIdentity(level, path, options.joins)) ?? (await writeIdentity(level, options));
    if (identity.nodeId !== options.nodeId)
      throw new DataFolderMismatchError(path, `belongs to node ${identity.nodeId}, not to node ${options.nodeId}`);
    if (identity.clusterName !== options.clusterName)
      throw new DataFolderMismatchError(
        path,
        `belongs to cluster "${identity.clusterName}", not to cluster "${options.clusterName}"`,
      );
    return { identity, path, close: () => level.close() };
  } catch (error) {
    await level.close();
    throw error;
  }
}

/** @param joins for folders of a time when this was not written down */
async function readIdentity(
  level: ClassicLevel<string, string>,
  path: string,
  joins: boolean,
): Promise<NodeIdentity | undefined> {
  const row = await level.get(IDENTITY_KEY);
  if (row === undefined) return undefined;
  const stored = JSON.parse(row) as Omit<NodeIdentity, 'joined'> & { format: number; nodeId: number; joined?: boolean };
  if (stored.format !== FORMAT)
    throw new DataFolderMismatchError(path, `has format ${stored.format}, which this version of kvorum does not know`);
  const { incarnation, clusterName, joined = joins } = stored;
  return { nodeId: nodeId(stored.nodeId), incarnation, clusterName, joined };
}

async function writeIdentity(level: ClassicLevel<string, string>, options: DataFolderOptions): Promise<NodeIdentity> {
  const identity = {
    nodeId: options.nodeId,
    incarnation: options.random.bytes(INCARNATION_BYTES).toString('hex'),
    clusterName: options.clusterName,
    joined: options.joins,
  };
  await level.put(IDENTITY_KEY, JSON.stringify({ format: FORMAT, ...identity }), { sync: true });
  return identity;
}
