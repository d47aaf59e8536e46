use std::time::Duration;

use berth_model::{
    Found, Instance, InstanceId, Patch, Query, Registered, Registration, Renewed, Run, ServiceName, Services,
};
use reqwest::{Method, Url};

use crate::call::Caller;
use crate::{Error, RegistryAddress};

/// The single calls of a registry's API. Cheap to clone; clones share their connections.
///
/// Each call has a deadline of 5 s and reads a bounded answer. It is sent once: whether it is safe and
/// sensible to repeat it is the caller's decision.
#[derive(Clone, Debug)]
pub struct Lookup {
    caller: Caller,
}

impl Lookup {
    /// Nothing is sent yet. `token` is the registry's bearer token, if it wants one.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the token cannot be sent in a header.
    pub fn new(address: RegistryAddress, token: Option<String>) -> Result<Self, Error> {
        Ok(Self { caller: Caller::new(address, token)? })
    }

    pub(crate) fn of(caller: Caller) -> Self {
        Self { caller }
    }

    /// The registry that is asked.
    pub fn address(&self) -> &RegistryAddress {
        self.caller.address()
    }

    /// Registers an instance or replaces it.
    ///
    /// # Errors
    /// [`Error::is_gone`]: the run was ended on purpose. 422: the address did not answer the registry.
    pub async fn register(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        registration: &Registration,
    ) -> Result<Registered, Error> {
        let request = self.caller.request(Method::PUT, self.instance_url(service, id)).json(registration);
        self.caller.call(request).await
    }

    /// Renews the lease of a run.
    ///
    /// # Errors
    /// [`Error::is_not_found`]: register again. [`Error::is_gone`]: the run was ended on purpose, stop.
    pub async fn renew(&self, service: &ServiceName, id: &InstanceId, run: Run) -> Result<Renewed, Error> {
        let mut url = self.caller.url(&format!("v1/services/{service}/instances/{id}/lease"));
        url.query_pairs_mut().append_pair("run", &run.to_string());
        self.caller.call(self.caller.request(Method::PUT, url)).await
    }

    /// Changes a live instance; returns it as it is now.
    ///
    /// # Errors
    /// [`Error::is_not_found`]: there is no such instance.
    pub async fn patch(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        patch: &Patch,
    ) -> Result<Instance, Error> {
        let request = self.caller.request(Method::PATCH, self.instance_url(service, id)).json(patch);
        self.caller.call(request).await
    }

    /// Ends an instance: its owner deregisters with its run, an operator removes whatever run is there.
    ///
    /// # Errors
    /// [`Error::is_not_found`]: there is no such instance, or it is another run.
    pub async fn end(&self, service: &ServiceName, id: &InstanceId, run: Option<Run>) -> Result<(), Error> {
        let mut url = self.instance_url(service, id);
        if let Some(run) = run {
            url.query_pairs_mut().append_pair("run", &run.to_string());
        }
        self.caller.send(self.caller.request(Method::DELETE, url)).await.map(drop)
    }

    /// The live instances that match; none when the service is unknown.
    ///
    /// # Errors
    /// The registry is away or refuses.
    pub async fn query(&self, query: &Query) -> Result<Found, Error> {
        self.caller.call(self.caller.request(Method::GET, self.query_url(query))).await
    }

    /// The same once there is an instance that matches, or when the time is over: at most 10 minutes.
    ///
    /// # Errors
    /// The registry is away or refuses.
    pub async fn wait(&self, query: &Query, time: Duration) -> Result<Found, Error> {
        let mut url = self.query_url(query);
        url.query_pairs_mut().append_pair("wait", &format!("{}ms", time.as_millis()));
        self.caller.call(self.caller.request_within(Method::GET, url, time)).await
    }

    /// All services, and how many live instances each has.
    ///
    /// # Errors
    /// The registry is away or refuses.
    pub async fn services(&self) -> Result<Services, Error> {
        self.caller.call(self.caller.request(Method::GET, self.caller.url("v1/services"))).await
    }

    fn query_url(&self, query: &Query) -> Url {
        let mut url = self.caller.url(&format!("v1/services/{}", query.service));
        if query.range().is_some() || !query.meta.is_empty() {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(query.range().map(|range| ("version", range)));
            pairs.extend_pairs(query.meta.iter().map(|(key, value)| (format!("meta.{key}"), value)));
        }
        url
    }

    fn instance_url(&self, service: &ServiceName, id: &InstanceId) -> Url {
        self.caller.url(&format!("v1/services/{service}/instances/{id}"))
    }
}
