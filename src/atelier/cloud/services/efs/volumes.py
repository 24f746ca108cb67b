"""Mounting: whether a client gets in, by which door, and where what it sees is on this machine."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier.cloud.context import Caller, Cloud, Refused
from atelier.cloud.services.ec2.service import groups
from atelier.cloud.services.ec2.vpcs import network_of, subnet
from atelier.cloud.services.efs import policy
from atelier.cloud.services.efs.service import (
    access_point_arn,
    access_points,
    file_system_arn,
    file_systems,
    folder,
    targets_of,
)
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record

NFS = 2049


def directory(
    cloud: Cloud,
    file_system_id: str,
    access_point_id: str | None = None,
    *,
    path: str = "/",
    role_arn: str | None = None,
    is_encrypted: bool = False,
    is_read_only: bool = False,
) -> Path:
    """Return the folder that a client sees as its mount; raise Refused with what keeps it out.

    That is *path* below the root that the access point gives, or below the file system's own. A client that
    mounts as no role is nobody in particular. An access point's directory comes to be with its first mount.
    """
    record = file_systems(cloud).get(file_system_id)
    if record is None:
        raise Refused(f"there is no file system {file_system_id}")
    if not targets_of(cloud, file_system_id):
        raise Refused(f"file system {file_system_id} has no mount target: nothing reaches it")
    point = _point(cloud, file_system_id, access_point_id) if access_point_id else None
    keys = _keys(cloud, access_point_id, role_arn, is_encrypted)
    for action in [policy.MOUNT] if is_read_only else [policy.MOUNT, policy.WRITE]:
        _admit(cloud, record, action, keys, role_arn)
    root = folder(cloud, file_system_id).resolve()
    within = _entered(root, point, file_system_id) if point else root
    return _inside(within, path, f"file system {file_system_id}")


def _point(cloud: Cloud, file_system_id: str, id: str) -> Record:
    point = access_points(cloud).get(id)
    if point is None:
        raise Refused(f"there is no access point {id}")
    if point["FileSystemId"] != file_system_id:
        raise Refused(f"access point {id} is one of {point['FileSystemId']}, not of {file_system_id}")
    return point


def _keys(cloud: Cloud, point: str | None, role_arn: str | None, is_encrypted: bool) -> dict[str, str]:
    if (point or role_arn) and not is_encrypted:
        raise Refused("an access point or a role is told to EFS by TLS only: enable encryption in transit")
    return {
        "aws:securetransport": str(is_encrypted).lower(),
        "elasticfilesystem:accessedviamounttarget": "true",
        **({"elasticfilesystem:accesspointarn": access_point_arn(cloud, point)} if point else {}),
        **({"aws:principalarn": role_arn} if role_arn else {}),
    }


def _admit(cloud: Cloud, record: Record, action: str, keys: Mapping[str, str], role: str | None) -> None:
    """Refuse what the file system's policy denies, and what neither it nor the role's own policies allow."""
    if record["Policy"] is None:
        return
    resource = file_system_arn(cloud, record["FileSystemId"])
    said = policy.decide(record["Policy"], action, keys, resource)
    who = role or "a client without a role"
    if said == "Deny":
        raise Refused(f"access denied by the policy of {record['FileSystemId']}: {action} by {who}")
    if said is None and not (role and _role_may(cloud, role, action, resource, keys)):
        raise Refused(f"access denied by {record['FileSystemId']}: nothing allows {action} to {who}")


def _role_may(cloud: Cloud, role: str, action: str, resource: str, keys: Mapping[str, str]) -> bool:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    caller = Caller(f"arn:aws:sts::{account}:assumed-role/{name}/efs", role)
    own = {key: value for key, value in keys.items() if key.startswith("elasticfilesystem:")}
    return cloud.identity.allows(caller, action, resource, **own)


def _entered(root: Path, point: Record, file_system_id: str) -> Path:
    """Return an access point's directory, made if it says how; without that, it must be there."""
    asked = point["RootDirectory"]
    how, place = asked.get("CreationInfo"), root / asked["Path"].strip("/")
    if how and not place.is_symlink() and place.parent.resolve().is_relative_to(root):
        missing = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        if missing:
            place.chmod(stat.S_IMODE(int(how["Permissions"], 8)))
    return _inside(root, asked["Path"], f"access point {point['AccessPointId']} of {file_system_id}")


def _inside(root: Path, path: str, where: str) -> Path:
    """Return a directory below *root*; refuse one that is not there, or to which .. or a link leads out."""
    if ".." in path.split("/"):
        raise Refused(f"{where}: the path {path} leads to a parent directory")
    found = (root / path.strip("/")).resolve()
    if not found.is_relative_to(root):
        raise Refused(f"{where}: {path} leads out of the file system")
    if not found.is_dir():
        raise Refused(f"{where}: there is no directory {path}")
    return found


def reachable(cloud: Cloud, file_system_id: str, subnet_ids: Sequence[str], group_ids: Sequence[str]) -> None:
    """Refuse a client whose subnets and security groups no mount target lets in."""
    if file_system_id not in file_systems(cloud):
        raise Refused(f"there is no file system {file_system_id}")
    try:
        vpc = network_of(cloud, subnet_ids, group_ids)
    except ServiceError as error:
        raise Refused(str(error)) from error
    near = [each for each in targets_of(cloud, file_system_id) if each["VpcId"] == vpc]
    if not near:
        raise Refused(f"file system {file_system_id} has no mount target in {vpc}")
    ranges = [ipaddress.IPv4Network(subnet(cloud, each)["CidrBlock"]) for each in subnet_ids]
    rules = [
        rule
        for target in near
        for group in target["SecurityGroupIds"]
        for rule in _inbound(groups(cloud).get(group) or {})
    ]
    if not any(_lets_in(each, group_ids, ranges) for each in rules):
        raise Refused(
            f"no mount target of {file_system_id} lets {', '.join(group_ids)} in at port {NFS}:"
            " add a rule to the mount targets' security group, or join a group that it names"
        )


def _inbound(group: Record) -> list[Any]:
    added = group.get("Added", {}).values()
    return [*group.get("Ingress", ()), *(each["Rule"] for each in added if each["Side"] == "Ingress")]


def _lets_in(rule: Any, group_ids: Sequence[str], ranges: Sequence[ipaddress.IPv4Network]) -> bool:
    if str(rule["IpProtocol"]) != "-1":
        ports = range(int(rule.get("FromPort", -1)), int(rule.get("ToPort", -1)) + 1)
        if str(rule["IpProtocol"]) != "tcp" or NFS not in ports:
            return False
    if "GroupId" in rule:
        return rule["GroupId"] in group_ids
    allowed = ipaddress.ip_network(rule["CidrIp"])
    return any(each.subnet_of(allowed) for each in ranges if isinstance(allowed, ipaddress.IPv4Network))
