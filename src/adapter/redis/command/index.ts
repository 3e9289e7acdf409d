/**
 * What a command is, and all that it may see. A declaration is data: name, arity, flags, keys, documentation. A handler gets one of three
 * contexts: `CommandContext` (keys through a view), `ScanContext` (all keys, page by page) or `ClientSession` (its client, and through that the
 * server). All of them are interfaces, so handlers know no connection, socket or group.
 */

export { AccessFrequencies } from './access-frequencies.ts';
export {
  isRunAlone,
  type OutsideAnswers,
  type OutsideCall,
  RunAloneError,
  type WrittenKey,
} from './alone.ts';
export type {
  ClientSession,
  SubscriptionControl,
  TrackingControl,
  TrackingOptions,
  TransactionControl,
} from './client-session.ts';
export { type ClusterSettings, ownSettings } from './cluster-settings.ts';
export type { ClusterMember, ClusterTopology, SlotOwners, SlotRange } from './cluster-topology.ts';
export {
  type CommandContext,
  type CommandSpec,
  defineCommands,
  type FillRule,
  inParts,
  type PieceRule,
} from './command.ts';
export { CommandTable, type ResolvedCommand, subcommandName } from './command-table.ts';
export { DEFAULT_REDIS_CONFIG, type RedisConfig } from './config.ts';
export type { ConnectedClient, TrackingView } from './connected-client.ts';
export { CommandCounters, type RatedCounter, ServerStats } from './counters.ts';
export {
  arityAccepts,
  type CommandCatalogue,
  type CommandDeclaration,
  type CommandGroup,
  type DeclaredCommand,
  type FoundKeys,
  type KeyFinder,
  type KeyPositions,
  keyIndexes,
  mayWrite,
  type RedisFeature,
} from './declaration.ts';
export { type Effect, type EffectKeeper, Effects } from './effects.ts';
export { EvaluationContext, type EvaluationSettings } from './evaluation-context.ts';
export type { EvaluationMeter } from './evaluation-meter.ts';
export { redisExpiryWork } from './expiry-work.ts';
export {
  channelsOf,
  type EventFlags,
  formatEventFlags,
  hearsEvents,
  NO_EVENTS,
  parseEventFlags,
  spellEventFlags,
} from './keyspace-events.ts';
export {
  isLibrariesLent,
  LendingState,
  LibrariesLentError,
  LibrariesUnknownError,
  type LibraryLender,
} from './library-lending.ts';
export type { OutputClass, OutputLimit, OutputLimits } from './output-limits.ts';
export { PassingView } from './passing-view.ts';
export type { KeyPage, KeySample, PageRequest, ScanContext } from './scan-context.ts';
export type {
  CalledScript,
  FunctionCall,
  KnownScripts,
  LibraryRunner,
  ListedLibrary,
  ScriptCall,
  ScriptFigures,
  ScriptRunner,
} from './script-runner.ts';
export type { DebugControl, ServerContext } from './server-context.ts';
export type {
  AccessEntry,
  AccessLog,
  AccessReason,
  Identity,
  Refusal,
  ScriptCaller,
  ScriptDenial,
  SelectorView,
  UserService,
  UserView,
} from './users.ts';
export { LINES, lookedAt, nothingYet, type WaitingCommand, type WaitingSpec } from './waiting-command.ts';
