/** Operations on tables. */
import { DynamoError, validationError } from '../errors/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { documentKey, jobKey } from '../rows/index.ts';
import { tableNameOf, taggedTable } from './arn.ts';
import { type TableCatalog, tableNotFound } from './catalog.ts';
import { decodeCounts, type TableCounts } from './counts.ts';
import { planCreate, tableOfPlan } from './create-table.ts';
import { describeTable } from './description.ts';
import type { TableDescriptor } from './descriptor.ts';
import type { TableDirectory } from './directory.ts';
import { decodeTasks, type TableTask } from './job-record.ts';
import type { TableJobs } from './jobs.ts';
import type { CreateTableInput, UpdateTableInput, WireTag } from './requests.ts';
import { withoutOpenStream } from './streams-of-tables.ts';
import { checkTags, decodeTags, encodeTags, withoutTags, withTags } from './tags.ts';
import { changedTimeToLive, describeTimeToLive, type UpdateTimeToLiveInput } from './time-to-live.ts';
import { changedTable, inUse, planUpdate } from './update-table.ts';

/** What a node has of tables. */
export interface TableRooms {
  readonly catalog: TableCatalog;
  readonly directory: TableDirectory;
  readonly jobs: Pick<TableJobs, 'look'>;
  /** A UUID that is new. */
  readonly newTableId: () => string;
}

const DEFAULT_PAGE = 100;
const TAGS_A_PAGE = 10;
const PROTECTED =
  'Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.';

interface NamedTable {
  readonly TableName: string;
}

/** All of them. */
export function tableOperations(rooms: TableRooms): AnyOperation[] {
  const { catalog, directory, jobs } = rooms;

  /** A table as it is now, whatever it is doing. @throws DynamoError when there is none */
  const tableNow = async (name: string, { deadlineMs }: RequestContext): Promise<TableDescriptor> => {
    const table = await directory.renew(name, deadlineMs);
    if (table === undefined) throw tableNotFound(name);
    return table;
  };

  /** A table as it is described, with what was counted of it. */
  const described = async (table: TableDescriptor, context: RequestContext): Promise<object> => {
    const { deadlineMs } = context;
    const isFilling = table.globalIndexes.some(({ state }) => state === 'CREATING');
    const [counts, job] = await Promise.all([
      directory.get(documentKey(table.id, 'counts'), deadlineMs),
      isFilling ? directory.get(jobKey(table.id), deadlineMs) : undefined,
    ]);
    const counted = counts === undefined ? undefined : decodeCounts(counts);
    return describeTable(table, context, job === undefined ? counted : withProgress(table, counted, decodeTasks(job)));
  };

  const changed = (table: TableDescriptor): TableDescriptor => {
    directory.keep(table);
    jobs.look();
    return table;
  };

  const tagged = async (arn: string, context: RequestContext): Promise<TableDescriptor> => {
    const table = await directory.renew(taggedTable(arn), context.deadlineMs);
    if (table === undefined) throw resourceNotFound(arn);
    return table;
  };

  return [
    declareOperation({
      name: 'CreateTable',
      access: 'write',
      validate: (input: CreateTableInput) => planCreate(input),
      async run(context, plan) {
        const { tags } = plan;
        const draft = tableOfPlan(plan, rooms.newTableId(), context.nowMs);
        const document =
          tags === undefined || tags.length === 0
            ? undefined
            : encodeTags(new Map(tags.map(({ Key, Value }) => [Key, Value])));
        const table = changed(await catalog.create(draft, document, context.deadlineMs));
        // What clients expect of the answer; the table is there.
        const shown: TableDescriptor = {
          ...table,
          status: 'CREATING',
          globalIndexes: table.globalIndexes.map((index) => ({ ...index, state: 'CREATING' })),
        };
        return { TableDescription: describeTable(shown, context) };
      },
    }),
    declareOperation({
      name: 'DescribeTable',
      access: 'read',
      validate: ({ TableName }: NamedTable) => tableNameOf(TableName),
      run: async (context, name) => ({ Table: await described(await tableNow(name, context), context) }),
    }),
    declareOperation({
      name: 'ListTables',
      access: 'read',
      validate: (input: { readonly Limit?: number; readonly ExclusiveStartTableName?: string }) => input,
      async run({ deadlineMs, signal }, { Limit: limit = DEFAULT_PAGE, ExclusiveStartTableName: after }) {
        const names = await directory.names(after, limit + 1, deadlineMs, signal);
        const page = names.slice(0, limit);
        return { TableNames: page, LastEvaluatedTableName: names.length > limit ? page.at(-1) : undefined };
      },
    }),
    declareOperation({
      name: 'UpdateTable',
      access: 'write',
      validate: (input: UpdateTableInput) => planUpdate(input),
      async run(context, plan) {
        const table = await catalog.change(plan.name, context.deadlineMs, (before, tasks) =>
          changedTable(before, tasks, plan, context.nowMs),
        );
        changed(table);
        return { TableDescription: await described({ ...table, status: 'UPDATING' }, context) };
      },
    }),
    declareOperation({
      name: 'DeleteTable',
      access: 'write',
      validate: ({ TableName }: NamedTable) => tableNameOf(TableName),
      async run(context, name) {
        const table = await catalog.change(name, context.deadlineMs, (before, tasks) => {
          if (before.status === 'CREATING' || before.status === 'UPDATING') throw inUse(before);
          if (before.isDeletionProtected) throw validationError(PROTECTED);
          // Where parents of shards end is still to be settled: who reads them waits for it.
          const left = tasks.filter(({ kind }) => kind === 'endSegment');
          const deleting: TableDescriptor = { ...withoutOpenStream(before, context.nowMs), status: 'DELETING' };
          return { table: deleting, tasks: [...left, { kind: 'deleteTable' }] };
        });
        return { TableDescription: describeTable(changed(table), context) };
      },
    }),
    declareOperation({
      name: 'UpdateTimeToLive',
      access: 'write',
      validate: (input: UpdateTimeToLiveInput) => ({ ...input, TableName: tableNameOf(input.TableName) }),
      async run(context, { TableName: name, TimeToLiveSpecification: asked }) {
        changed(
          await catalog.change(name, context.deadlineMs, (before, tasks) =>
            changedTimeToLive(before, tasks, asked, context.nowMs),
          ),
        );
        return { TimeToLiveSpecification: asked };
      },
    }),
    declareOperation({
      name: 'DescribeTimeToLive',
      access: 'read',
      validate: ({ TableName }: NamedTable) => tableNameOf(TableName),
      run: async (context, name) => ({ TimeToLiveDescription: describeTimeToLive(await tableNow(name, context)) }),
    }),
    declareOperation({
      name: 'TagResource',
      access: 'write',
      validate(input: { readonly ResourceArn: string; readonly Tags: readonly WireTag[] }) {
        taggedTable(input.ResourceArn);
        if (input.Tags.length === 0) throw validationError('Atleast one Tag needs to be provided as Input.');
        checkTags(input.Tags);
        return input;
      },
      async run(context, { ResourceArn: arn, Tags: tags }) {
        const { name } = await tagged(arn, context);
        await catalog.changeDocument(name, 'tags', context.deadlineMs, (document) => withTags(document, tags));
        return {};
      },
    }),
    declareOperation({
      name: 'UntagResource',
      access: 'write',
      validate(input: { readonly ResourceArn: string; readonly TagKeys: readonly string[] }) {
        taggedTable(input.ResourceArn);
        if (input.TagKeys.length === 0) throw validationError('Atleast one Tag Key needs to be provided as Input.');
        return input;
      },
      async run(context, { ResourceArn: arn, TagKeys: keys }) {
        const { name } = await tagged(arn, context);
        await catalog.changeDocument(name, 'tags', context.deadlineMs, (document) => withoutTags(document, keys));
        return {};
      },
    }),
    declareOperation({
      name: 'ListTagsOfResource',
      access: 'read',
      validate(input: { readonly ResourceArn: string; readonly NextToken?: string }) {
        taggedTable(input.ResourceArn);
        return input;
      },
      async run(context, { ResourceArn: arn, NextToken: after }) {
        const { id } = await tagged(arn, context);
        const tags = [...decodeTags(await directory.get(documentKey(id, 'tags'), context.deadlineMs))];
        const from = after === undefined ? 0 : tags.findIndex(([key]) => key === after) + 1;
        const page = tags.slice(from, from + TAGS_A_PAGE);
        return {
          Tags: page.map(([Key, Value]) => ({ Key, Value })),
          NextToken: from + page.length < tags.length ? page.at(-1)![0] : undefined,
        };
      },
    }),
  ];
}

/** Of an index that is being filled as many items as it has so far. */
function withProgress(
  { globalIndexes }: TableDescriptor,
  counts: TableCounts | undefined,
  tasks: readonly TableTask[],
): TableCounts {
  const indexes = new Map(counts?.indexes);
  for (const task of tasks) {
    const index = task.kind === 'fillIndex' && globalIndexes.find(({ number }) => number === task.index);
    if (index) indexes.set(index.name, { items: task.items, bytes: 0 });
  }
  return { items: counts?.items ?? 0, bytes: counts?.bytes ?? 0, indexes };
}

const resourceNotFound = (arn: string): DynamoError =>
  new DynamoError('ResourceNotFoundException', `Requested resource not found: ResourcArn: ${arn} not found`);
