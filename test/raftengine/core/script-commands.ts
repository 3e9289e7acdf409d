/**
 * The commands of scripts for the Raft core, over the cores of a `CoreCluster`. Nothing happens by itself: nodes say what
 * they want when they are processed, messages travel when they are delivered, time passes when a node ticks.
 *
 * | command | what it does |
 * | --- | --- |
 * | `add-nodes N [voters=(..)] [outgoing=(..)] [learners=(..)] [learners-next=(..)] [auto-leave=no] [OPTION=N..]` | N nodes more, which know this membership; without `voters` they know none |
 * | `campaign ID`, `tick-election ID`, `tick-heartbeat ID`, `tick ID N` | a campaign now; ticks until the node stands for election; one heartbeat; N ticks |
 * | `pass MS` | time passes without a tick, as for a process that stood still |
 * | `propose ID TEXT`, `propose-conf-change ID add-voter=N add-learner=N remove=N`, `propose-conf-change ID leave` | a proposal |
 * | `read-index ID REQUEST`, `transfer-leadership ID to=N` | as the core's calls |
 * | `process-ready [ID..]` | takes and does what the nodes want: stores, applies, and puts messages on their way |
 * | `deliver-msgs [ID..] [from=N] [kind=K] [skip=N] [count=N]`, `drop-msgs ..`, `repeat-msgs ..`, `list-msgs` | those of the messages under way, oldest first |
 * | `stabilize [ID..]` | processes and delivers until nothing is left to do among these nodes |
 * | `cut A B`, `isolate ID`, `heal` | what is delivered over a cut is lost |
 * | `disk ID stops`, `disk ID answers`, `apply ID stops`, `apply ID resumes` | writes stay outstanding; committed entries wait |
 * | `restart ID [loses-unstable]`, `wipe ID`, `compact ID INDEX` | a new process; one without its disk; the log forgets its front |
 * | `report-unreachable ID peer=N`, `report-snapshot ID peer=N ok`, `report-snapshot ID peer=N failed` | news of the engine |
 * | `status [ID..]`, `raft-log [ID..]` | shows |
 *
 * With `quiet` as its last word a command prints news of roles, members and reads only.
 */
import { type NodeId, nodeId } from '../../../src/platform/index.ts';
import type { RaftCore } from '../../../src/raftengine/core/raft.ts';
import type { ConfChangeStep, ConfState, Message, RaftConfig } from '../../../src/raftengine/core/types.ts';
import { CoreCluster, type CoreNode, TEST_CONFIG } from './cluster.ts';
import { type Command, numbersOf } from './script-file.ts';
import { shownConf, shownLog, shownMessage, shownReady, shownRole, shownStatus } from './script-words.ts';

/** Names of the options of `add-nodes` that are constants of the group. */
const CONFIG_OPTIONS: Readonly<Record<string, keyof RaftConfig>> = {
  'append-bytes': 'maxAppendBytes',
  'inflight-messages': 'maxInflightMessages',
  'uncommitted-bytes': 'maxUncommittedBytes',
  'promote-lag': 'maxPromoteLag',
};

const STEP_KINDS: Readonly<Record<string, ConfChangeStep['kind']>> = {
  'add-voter': 'addVoter',
  'add-learner': 'addLearner',
  remove: 'remove',
};

const MAX_ROUNDS = 1000;
/** What a quiet command prints still. */
const NEWS = /^\d+ (is|has members|gives up|may serve) |^refused/;

/** Runs commands and collects what they print. */
export class ScriptWorld {
  private readonly cluster = new CoreCluster([]);
  private overrides: Partial<RaftConfig> = {};
  /** Messages under way, oldest first. */
  private wire: Message[] = [];
  private lines: string[] = [];
  private roles = new Map<number, string>();

  /** @returns what the command printed */
  run(command: Command): string[] {
    this.lines = [];
    const handler = this.handlers[command.name];
    if (handler === undefined) throw new Error(`there is no command ${command.name}`);
    const isQuiet = command.words.at(-1) === 'quiet';
    try {
      handler(isQuiet ? { ...command, words: command.words.slice(0, -1) } : command);
    } catch (error) {
      // What the core refuses is part of the story; everything else is a fault of the script or of the core.
      if (typeof (error as { code?: unknown }).code !== 'string') throw error;
      this.lines.push(`refused: ${(error as Error).message}`);
    }
    this.tellRoles();
    return isQuiet ? this.lines.filter((line) => NEWS.test(line)) : this.lines;
  }

  private get nowMs(): number {
    return this.cluster.nowMs;
  }

  private node(word: string | undefined): CoreNode {
    const node = this.cluster.nodes.get(Number(word));
    if (node === undefined) throw new Error(`there is no node ${word}`);
    return node;
  }

  private nodes(words: readonly string[]): CoreNode[] {
    return words.length === 0 ? [...this.cluster.nodes.values()] : words.map((word) => this.node(word));
  }

  private core(word: string | undefined): RaftCore {
    return this.node(word).core;
  }

  private tellRoles(): void {
    for (const [id, node] of this.cluster.nodes) {
      const role = shownRole(node);
      if (this.roles.get(id) !== role) this.lines.push(`${id} is ${role}`);
      this.roles.set(id, role);
    }
  }

  private readonly handlers: Readonly<Record<string, (command: Command) => void>> = {
    'add-nodes': (command) => this.addNodes(command),
    campaign: ({ words }) => this.core(words[0]).campaign(this.nowMs),
    'tick-election': ({ words }) => this.tickElection(this.node(words[0])),
    'tick-heartbeat': ({ words }) => this.tick(this.node(words[0]), TEST_CONFIG.heartbeatTicks),
    tick: ({ words }) => this.tick(this.node(words[0]), Number(words[1])),
    pass: ({ words }) => {
      this.cluster.nowMs += Number(words[0]);
    },
    propose: ({ words: [id, ...text] }) => {
      const { index, term } = this.core(id).propose(Buffer.from(text.join(' ')), this.nowMs);
      this.lines.push(`${id} appends ${term}/${index}`);
    },
    'propose-conf-change': (command) => this.proposeConfChange(command),
    'read-index': ({ words }) => this.core(words[0]).readIndex(Number(words[1]), this.nowMs),
    'transfer-leadership': ({ words, options }) =>
      this.core(words[0]).transferLeadership(nodeId(Number(options.get('to'))), this.nowMs),
    'process-ready': ({ words }) => {
      for (const node of this.nodes(words)) this.process(node);
    },
    'deliver-msgs': (command) => {
      for (const message of this.take(command)) this.deliver(message);
    },
    'drop-msgs': (command) => {
      for (const message of this.take(command)) this.lines.push(`lost ${shownMessage(message)}`);
    },
    'repeat-msgs': (command) => {
      const again = this.take(command);
      // Copies, so that each can be taken by itself.
      this.wire.push(...again, ...again.map((message) => ({ ...message })));
    },
    'list-msgs': () => {
      for (const message of this.wire) this.lines.push(shownMessage(message));
    },
    stabilize: (command) => this.stabilize(command),
    cut: ({ words }) => this.cluster.cut(Number(words[0]), Number(words[1])),
    isolate: ({ words }) => this.cluster.isolate(Number(words[0])),
    heal: () => this.cluster.heal(),
    disk: ({ words }) => this.disk(this.node(words[0]), words[1]),
    apply: ({ words }) => this.apply(this.node(words[0]), words[1]),
    restart: ({ words }) => this.restart(this.node(words[0]), words[1] === 'loses-unstable'),
    wipe: ({ words }) => this.wipe(this.node(words[0])),
    compact: ({ words }) => this.node(words[0]).log.truncatePrefix(Number(words[1])),
    'report-unreachable': ({ words, options }) => this.core(words[0]).reportUnreachable(peerOf(options)),
    'report-snapshot': ({ words, options }) => this.core(words[0]).reportSnapshot(peerOf(options), words[1] === 'ok'),
    status: ({ words }) => {
      for (const node of this.nodes(words)) this.lines.push(...shownStatus(node, this.nowMs));
    },
    'raft-log': ({ words }) => {
      for (const node of this.nodes(words)) this.lines.push(...shownLog(node));
    },
  };

  private addNodes({ words, options }: Command): void {
    for (const [name, key] of Object.entries(CONFIG_OPTIONS)) {
      const value = options.get(name);
      if (value !== undefined) this.overrides = { ...this.overrides, [key]: Number(value) };
    }
    const members = (name: string): NodeId[] => numbersOf(options.get(name) ?? '()').map(nodeId);
    const conf: ConfState = {
      voters: members('voters'),
      votersOutgoing: members('outgoing'),
      learners: members('learners'),
      learnersNext: members('learners-next'),
      autoLeave: options.has('outgoing') && options.get('auto-leave') !== 'no',
    };
    for (let left = Number(words[0]); left > 0; left--) {
      const node = this.cluster.add(this.cluster.nodes.size + 1, conf, this.overrides);
      this.roles.set(node.id, shownRole(node));
    }
    this.lines.push(`members ${shownConf(conf)}`);
  }

  private tick({ core }: CoreNode, count: number): void {
    for (let left = count; left > 0; left--) {
      this.cluster.nowMs += TEST_CONFIG.tickMs;
      core.tick(this.nowMs);
    }
  }

  /** Ticks a follower until it stands for election, at most twice the election timeout. */
  private tickElection(node: CoreNode): void {
    for (let left = 2 * TEST_CONFIG.electionTimeoutTicks; left > 0; left--) {
      const { term } = node.core;
      this.tick(node, 1);
      if (node.core.role !== 'follower' || node.core.term !== term) return;
    }
    this.lines.push(`${node.id} does not stand for election`);
  }

  private proposeConfChange({ words, options }: Command): void {
    const steps = [...options].flatMap(([name, value]): ConfChangeStep[] => {
      const kind = STEP_KINDS[name];
      if (kind === undefined) throw new Error(`${name} is no step of a membership change`);
      return numbersOf(value).map((id) => ({ kind, nodeId: nodeId(id) }));
    });
    const { index, term } = this.core(words[0]).proposeConfChange({ steps, context: Buffer.alloc(0) }, this.nowMs);
    this.lines.push(`${words[0]} appends ${term}/${index}`);
  }

  /** Does what a node wants. @returns whether it wanted anything */
  private process(node: CoreNode): boolean {
    if (!node.core.hasReady()) return false;
    this.send(
      node.drain((ready) => this.lines.push(...shownReady(node.id, ready))),
      node,
    );
    return true;
  }

  private send(messages: readonly Message[], node: CoreNode): void {
    this.wire.push(...messages);
    for (const message of messages) this.lines.push(shownMessage(message));
    this.noteConf(node);
  }

  private readonly confs = new Map<number, string>();

  private noteConf({ id, conf, applied }: CoreNode): void {
    const shown = shownConf(conf);
    const before = this.confs.get(id);
    this.confs.set(id, shown);
    if (before !== undefined && before !== shown && applied.length > 0) this.lines.push(`${id} has members ${shown}`);
  }

  /** Takes messages off the wire. */
  private take({ words, options }: Command): Message[] {
    const receivers = words.map(Number);
    const isMeant = (message: Message): boolean =>
      (receivers.length === 0 || receivers.includes(message.to)) &&
      (options.get('from') ?? String(message.from)) === String(message.from) &&
      (options.get('kind') ?? message.kind) === message.kind;
    const skip = Number(options.get('skip') ?? 0);
    const count = Number(options.get('count') ?? Number.POSITIVE_INFINITY);
    const taken = this.wire.filter(isMeant).slice(skip, skip + count);
    this.wire = this.wire.filter((message) => !taken.includes(message));
    return taken;
  }

  private deliver(message: Message): void {
    if (this.cluster.isCut(message.from, message.to)) {
      this.lines.push(`lost ${shownMessage(message)}`);
      return;
    }
    this.cluster.deliver(message);
    this.tellRoles();
  }

  private stabilize(command: Command): void {
    const nodes = this.nodes(command.words);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let isMoving = false;
      for (const node of nodes) isMoving = this.process(node) || isMoving;
      const messages = this.take({ ...command, words: nodes.map(({ id }) => String(id)) });
      for (const message of messages) this.deliver(message);
      if (!isMoving && messages.length === 0) return;
    }
    throw new Error('the nodes do not come to rest');
  }

  private disk(node: CoreNode, word: string | undefined): void {
    node.diskAnswers = word === 'answers';
    if (node.diskAnswers) this.send(node.finishWrites(), node);
  }

  private apply(node: CoreNode, word: string | undefined): void {
    node.applies = word === 'resumes';
    if (node.applies) node.applyAll();
    this.noteConf(node);
  }

  private restart(node: CoreNode, losesUnstable: boolean): void {
    if (losesUnstable) node.loseUnstable();
    this.wire = this.wire.filter(({ to }) => to !== node.id);
    node.start(this.nowMs);
  }

  private wipe({ id }: CoreNode): void {
    this.cluster.add(id, undefined, this.overrides);
    this.wire = this.wire.filter(({ to }) => to !== id);
  }
}

const peerOf = (options: ReadonlyMap<string, string>): NodeId => nodeId(Number(options.get('peer')));
