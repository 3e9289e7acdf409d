/** Every command, in the order in which the help lists them: one file a verb or a family of verbs. */
import type { Command } from 'commander';
import type { Declare } from '../session.ts';
import { addAcceptTimeCommand } from './accept-time.ts';
import { addAclCommands } from './acl.ts';
import { addBackupCommands } from './backup.ts';
import { addBalanceCommands } from './balance.ts';
import { addDoctorCommand } from './doctor.ts';
import { addDrainCommands } from './drain.ts';
import { addGcCommands } from './gc.ts';
import { addGroupCommands } from './groups.ts';
import { addLogLevelCommand } from './log-level.ts';
import { addMembershipCommands } from './membership.ts';
import { addReplaceCommand } from './replace.ts';
import { addRouteCommands } from './routes.ts';
import { addSnapshotCommands } from './snapshot.ts';
import { addStatusCommands } from './status.ts';
import { addSwitchCommands } from './switches.ts';
import { addTopCommand } from './top.ts';
import { addTsoCommand } from './tso.ts';
import { addTxnCommands } from './txn.ts';
import { addUnsafeRecoverCommand } from './unsafe-recover.ts';

/** Declares a verb, or some, at the program. */
export type AddCommands = (program: Command, declare: Declare) => void;

export const COMMANDS: readonly AddCommands[] = [
  addStatusCommands,
  addTopCommand,
  addDoctorCommand,
  addMembershipCommands,
  addReplaceCommand,
  addDrainCommands,
  addGroupCommands,
  addRouteCommands,
  addSwitchCommands,
  addAclCommands,
  addLogLevelCommand,
  addBalanceCommands,
  addGcCommands,
  addBackupCommands,
  addSnapshotCommands,
  addTsoCommand,
  addAcceptTimeCommand,
  addTxnCommands,
  addUnsafeRecoverCommand,
];
