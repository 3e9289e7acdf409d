/** Whether there is a table, for operations that are about something around it. */
import type { Millis } from '../../../platform/index.ts';
import { DynamoError, type DynamoErrorType } from '../errors/index.ts';
import type { RequestContext } from '../operation/index.ts';

/** Asked by name or ARN. */
export type TableLookup = (
  nameOrArn: string,
  deadlineMs: Millis,
) => Promise<{ readonly name: string; readonly exists: boolean }>;

/** Looks a table up, and says in the words of backups when there is none. @returns its name */
export async function tableForBackups(
  lookUp: TableLookup,
  nameOrArn: string,
  { deadlineMs }: RequestContext,
): Promise<string> {
  return found(await lookUp(nameOrArn, deadlineMs), 'TableNotFoundException', (name) => `Table not found: ${name}`);
}

/** Looks a table up, and says in the words of other operations when there is none. @returns its name */
export async function tableOrNotFound(
  lookUp: TableLookup,
  nameOrArn: string,
  { deadlineMs }: RequestContext,
): Promise<string> {
  return found(
    await lookUp(nameOrArn, deadlineMs),
    'ResourceNotFoundException',
    (name) => `Requested resource not found: Table: ${name} not found`,
  );
}

function found(
  { name, exists }: { readonly name: string; readonly exists: boolean },
  type: DynamoErrorType,
  text: (name: string) => string,
): string {
  if (!exists) throw new DynamoError(type, text(name));
  return name;
}
