//! SES tenants: one of our tenants inside the AWS account, with a reputation and a suppression list of its own.
//!
//! Not every account and region has them. Where there are none that is an answer, and mail is sent without.

use super::identity::aws_tags;
use super::{Answered, SesProvisioner, exists, fault, faults, says};
use aws_sdk_sesv2::types::{
    SuppressionListReason, SuppressionListScope, TenantSuppressionAttributes,
};

/// A tenant at SES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesTenant {
    pub name: String,
    pub arn: String,
    /// `ENABLED`, `DISABLED` (its reputation has paused it) or `REINSTATED`.
    pub sending_status: String,
}

impl SesTenant {
    /// `arn:…:ses:<region>:<account>:<kind>/<name>`, of the account that the tenant is in.
    fn sibling(&self, kind: &str, name: &str) -> Option<String> {
        let (account, _) = self.arn.split_once(":tenant/")?;
        Some(format!("{account}:{kind}/{name}"))
    }
}

impl SesProvisioner {
    /// Makes the tenant with a suppression list of its own; one that exists is read. `None`: this account or region
    /// has no tenants.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn ensure_tenant(
        &self,
        name: &str,
        tags: &[(String, String)],
    ) -> Answered<Option<SesTenant>> {
        const OPERATION: &str = "CreateTenant";
        let own_list = TenantSuppressionAttributes::builder()
            .suppression_scope(SuppressionListScope::Tenant)
            .suppressed_reasons(SuppressionListReason::Bounce)
            .suppressed_reasons(SuppressionListReason::Complaint)
            .build();
        let request = self
            .0
            .create_tenant()
            .tenant_name(name)
            .set_tags(Some(aws_tags(OPERATION, tags)?))
            .suppression_attributes(own_list);
        match request.send().await {
            Err(error) if says(&error, "UnknownOperationException") => return Ok(None),
            Err(error) if !exists(&error) => return Err(fault(OPERATION, &error)),
            _ => {}
        }
        match self.tenant(name).await? {
            Some(tenant) => Ok(Some(tenant)),
            None => Err(faults::ours(OPERATION, "tenant-gone")),
        }
    }

    /// The tenant and whether it may send; `None` where there is none.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn tenant(&self, name: &str) -> Answered<Option<SesTenant>> {
        let output = match self.0.get_tenant().tenant_name(name).send().await {
            Ok(output) => output,
            Err(error)
                if says(&error, "NotFoundException")
                    || says(&error, "UnknownOperationException") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(fault("GetTenant", &error)),
        };
        Ok(output.tenant().and_then(|tenant| {
            Some(SesTenant {
                name: name.to_owned(),
                arn: tenant.tenant_arn()?.to_owned(),
                sending_status: tenant.sending_status()?.as_str().to_owned(),
            })
        }))
    }

    /// Gives the tenant its domain and its configuration set; without both no mail leaves with its name.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn associate(
        &self,
        tenant: &SesTenant,
        domain: &str,
        configuration_set: &str,
    ) -> Answered<()> {
        const OPERATION: &str = "CreateTenantResourceAssociation";
        for (kind, name) in [
            ("identity", domain),
            ("configuration-set", configuration_set),
        ] {
            let arn = tenant.sibling(kind, name);
            let arn = arn.ok_or_else(|| faults::ours(OPERATION, "tenant-gone"))?;
            let request = self
                .0
                .create_tenant_resource_association()
                .tenant_name(&tenant.name)
                .resource_arn(arn);
            match request.send().await {
                Err(error) if !exists(&error) => return Err(fault(OPERATION, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes domain and configuration set from the tenant and deletes it, so that they can be deleted too.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn delete_tenant(
        &self,
        tenant: &SesTenant,
        domain: &str,
        configuration_set: &str,
    ) -> Answered<()> {
        for (kind, name) in [
            ("identity", domain),
            ("configuration-set", configuration_set),
        ] {
            let request = self
                .0
                .delete_tenant_resource_association()
                .tenant_name(&tenant.name)
                .set_resource_arn(tenant.sibling(kind, name));
            match request.send().await {
                Err(error) if !says(&error, "NotFoundException") => {
                    return Err(fault("DeleteTenantResourceAssociation", &error));
                }
                _ => {}
            }
        }
        match self
            .0
            .delete_tenant()
            .tenant_name(&tenant.name)
            .send()
            .await
        {
            Err(error) if !says(&error, "NotFoundException") => Err(fault("DeleteTenant", &error)),
            _ => Ok(()),
        }
    }
}
