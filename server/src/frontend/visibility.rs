//! Listing and counting runs.

use durably_proto::temporal::api::{
    enums::v1::WorkflowExecutionStatus,
    filter::v1::{StartTimeFilter, WorkflowExecutionFilter, WorkflowTypeFilter},
    workflowservice::v1::{
        list_closed_workflow_executions_request::Filters as Closed,
        list_open_workflow_executions_request::Filters as Open, *,
    },
};

use super::{Caller, Frontend, filter, validate};
use crate::{
    error::ServiceError,
    store::{Field, Filter, Op, Value},
};

const MAX_PAGE: i32 = 1_000;

impl Frontend {
    pub(super) async fn list_workflow_executions(
        &self,
        caller: Caller,
        mut request: ListWorkflowExecutionsRequest,
    ) -> Result<ListWorkflowExecutionsResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::page_size(&mut request.page_size, MAX_PAGE);
        let filter = parse(&request.query)?;
        self.executions().list(&namespace, request, filter, caller.deadline).await
    }

    /// The same without an order; with ours it takes no longer.
    pub(super) async fn scan_workflow_executions(
        &self,
        caller: Caller,
        request: ScanWorkflowExecutionsRequest,
    ) -> Result<ScanWorkflowExecutionsResponse, ServiceError> {
        let listed = ListWorkflowExecutionsRequest {
            namespace: request.namespace,
            page_size: request.page_size,
            next_page_token: request.next_page_token,
            query: request.query,
        };
        let listed = self.list_workflow_executions(caller, listed).await?;
        Ok(ScanWorkflowExecutionsResponse {
            executions: listed.executions,
            next_page_token: listed.next_page_token,
        })
    }

    pub(super) async fn count_workflow_executions(
        &self,
        caller: Caller,
        request: CountWorkflowExecutionsRequest,
    ) -> Result<CountWorkflowExecutionsResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let (filter, by_status) = filter::parse_count(&request.query).map_err(|problem| refused(&problem))?;
        self.executions().count(&namespace, filter, by_status, caller.deadline).await
    }

    pub(super) async fn list_open_workflow_executions(
        &self,
        caller: Caller,
        request: ListOpenWorkflowExecutionsRequest,
    ) -> Result<ListOpenWorkflowExecutionsResponse, ServiceError> {
        let mut parts = vec![Filter::IsNull(Field::CLOSE_TIME)];
        between(&Field::START_TIME, request.start_time_filter.as_ref(), &mut parts);
        match request.filters {
            Some(Open::ExecutionFilter(filter)) => execution(filter, &mut parts),
            Some(Open::TypeFilter(filter)) => parts.push(of_type(filter)),
            None => {}
        }
        let listed = self
            .list_by(caller, &request.namespace, request.maximum_page_size, request.next_page_token, parts)
            .await?;
        Ok(ListOpenWorkflowExecutionsResponse {
            executions: listed.executions,
            next_page_token: listed.next_page_token,
        })
    }

    pub(super) async fn list_closed_workflow_executions(
        &self,
        caller: Caller,
        request: ListClosedWorkflowExecutionsRequest,
    ) -> Result<ListClosedWorkflowExecutionsResponse, ServiceError> {
        let mut parts = vec![Filter::Not(Box::new(Filter::IsNull(Field::CLOSE_TIME)))];
        between(&Field::CLOSE_TIME, request.start_time_filter.as_ref(), &mut parts);
        match request.filters {
            Some(Closed::ExecutionFilter(filter)) => execution(filter, &mut parts),
            Some(Closed::TypeFilter(filter)) => parts.push(of_type(filter)),
            Some(Closed::StatusFilter(filter)) => {
                if filter.status == WorkflowExecutionStatus::Running as i32 {
                    return Err(ServiceError::invalid_argument(
                        "status RUNNING is asked of closed workflows; call ListOpenWorkflowExecutions",
                    ));
                }
                parts.push(equal(Field::EXECUTION_STATUS, Value::Int(filter.status.into())));
            }
            None => {}
        }
        let listed = self
            .list_by(caller, &request.namespace, request.maximum_page_size, request.next_page_token, parts)
            .await?;
        Ok(ListClosedWorkflowExecutionsResponse {
            executions: listed.executions,
            next_page_token: listed.next_page_token,
        })
    }

    async fn list_by(
        &self,
        caller: Caller,
        namespace: &str,
        mut page_size: i32,
        next_page_token: bytes::Bytes,
        parts: Vec<Filter>,
    ) -> Result<ListWorkflowExecutionsResponse, ServiceError> {
        let found = self.namespace(namespace)?;
        validate::page_size(&mut page_size, MAX_PAGE);
        let request = ListWorkflowExecutionsRequest {
            namespace: namespace.to_owned(),
            page_size,
            next_page_token,
            query: String::new(),
        };
        self.executions().list(&found, request, Filter::And(parts), caller.deadline).await
    }
}

fn parse(query: &str) -> Result<Filter, ServiceError> {
    filter::parse(query).map_err(|problem| refused(&problem))
}

fn refused(problem: &str) -> ServiceError {
    ServiceError::invalid_argument(format!("list filter: {problem}"))
}

fn equal(field: Field, value: Value) -> Filter {
    Filter::Compare(field, Op::Equal, value)
}

fn of_type(filter: WorkflowTypeFilter) -> Filter {
    equal(Field::WORKFLOW_TYPE, Value::Text(filter.name))
}

fn execution(filter: WorkflowExecutionFilter, parts: &mut Vec<Filter>) {
    if !filter.workflow_id.is_empty() {
        parts.push(equal(Field::WORKFLOW_ID, Value::Text(filter.workflow_id)));
    }
    if !filter.run_id.is_empty() {
        parts.push(equal(Field::RUN_ID, Value::Text(filter.run_id)));
    }
}

fn between(field: &Field, times: Option<&StartTimeFilter>, parts: &mut Vec<Filter>) {
    let nanos = |time: &prost_types::Timestamp| {
        time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
    };
    if let Some(earliest) = times.and_then(|times| times.earliest_time.as_ref()) {
        parts.push(Filter::Compare(field.clone(), Op::GreaterOrEqual, Value::Int(nanos(earliest))));
    }
    if let Some(latest) = times.and_then(|times| times.latest_time.as_ref()) {
        parts.push(Filter::Compare(field.clone(), Op::LessOrEqual, Value::Int(nanos(latest))));
    }
}
